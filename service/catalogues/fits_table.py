"""Tables in FITS files."""

import re
from collections.abc import Iterator
from typing import Any, Final

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.io import fits
from astropy.table.meta import YamlParseError, get_header_from_yaml
from numpy.typing import NDArray

from service.catalogues.schema import MIXINS, known_unit, make_field, to_arrow, with_meta

_STRUCTURE: Final = re.compile(
    r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|TFIELDS|THEAP|CHECKSUM|DATASUM|END|NEXTEND|"
    r"(TTYPE|TFORM|TUNIT|TNULL|TSCAL|TZERO|TDIM|TBCOL)\d+|)"
)
"""Keywords that say how the file is built; all others are metadata."""
_OF_COLUMN: Final = re.compile(r"(T[A-Z]{3,4})(\d+)")
"""Keywords that say something of a column, by its number."""
FITS: Final = "fits"
"""Where in the metadata of a column those are kept that only FITS has: ``TDISP``, ``TCTYP`` ..."""
_YAML_BEGIN: Final = "--BEGIN-ASTROPY-SERIALIZED-COLUMNS--"
_COMMENT: Final = 70
"""Characters of a line of YAML in a comment; a backslash follows if it goes on."""
_YAML_END: Final = "--END-ASTROPY-SERIALIZED-COLUMNS--"


def find_table(hdus: fits.HDUList) -> fits.BinTableHDU | fits.TableHDU | None:
    """The first table of a file; None if there is none."""
    tables = (hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU))
    return next((hdu for hdu in tables if not isinstance(hdu, fits.CompImageHDU)), None)


def from_fits(hdus: fits.HDUList, leave_out: frozenset[str] = frozenset()) -> pa.Table:
    """The first table of a file, without some of its columns."""
    hdu: Any = find_table(hdus)
    yaml = _yaml(hdu.header)
    described = {str(column["name"]): column for column in yaml.get("datatype", ())}
    cards = dict(_cards(hdu.header))
    fields, arrays = [], []
    for number, column in enumerate(hdu.columns, start=1):
        own = {match[1]: cards.pop(key) for key in [*cards] if (match := _of_column(key, number))}
        if column.name in leave_out:
            continue
        array = to_arrow(_masked(hdu.data, column))
        extra = described.get(column.name, {})
        named = {"ucd": own.pop("TUCD", None), "utype": own.pop("TUTYP", None)}
        description = own.pop("TCOMM", None) or extra.get("description")
        meta = {key: value for key, value in (named | {FITS: own}).items() if value}
        fields.append(
            make_field(
                column.name,
                array.type,
                unit=_unit(column.unit),
                description=description and str(description),
                format=extra.get("format"),
                meta=meta | dict(extra.get("meta", {})),
            )
        )
        arrays.append(array)
    table_meta = dict(_cards(hdus[0].header)) | cards | dict(yaml.get("meta", {}))
    if not table_meta.get(MIXINS):
        table_meta.pop(MIXINS, None)
    return pa.Table.from_arrays(arrays, schema=with_meta(pa.schema(fields), table_meta))


def _of_column(key: str, number: int) -> re.Match[str] | None:
    found = _OF_COLUMN.fullmatch(key)
    return found if found and found[2] == str(number) else None


def _unit(text: str | None) -> str | None:
    """A unit as the other formats write it, or as it stands where it is none of the standard's."""
    if not text:
        return None
    return known_unit(u.Unit(text, format="fits", parse_strict="silent"))


def _masked(data: fits.FITS_rec, column: fits.Column) -> NDArray[Any]:
    """The values of a column, masked where the file has none."""
    values = data[column.name]
    if "P" in column.format or "Q" in column.format:  # arrays of any length
        return np.array([*map(np.asarray, values), None], dtype=object)[:-1]
    values = np.asarray(values)
    if values.dtype.kind == "b":
        return np.ma.MaskedArray(values, np.asarray(data)[column.name] == 0)
    if column.null not in (None, ""):
        raw = np.asarray(data)[column.name]
        if raw.dtype.kind in "iu":
            return np.ma.MaskedArray(values, raw == int(column.null))
    return values


def _cards(header: fits.Header) -> Iterator[tuple[str, Any]]:
    """Keywords that are no structure, with their values; comments and history are lists of lines."""
    for key in dict.fromkeys(header):
        if is_structure(key):
            continue
        if key in ("COMMENT", "HISTORY"):
            lines = [str(line) for line in header[key]]
            if _YAML_BEGIN in lines:
                lines = lines[: lines.index(_YAML_BEGIN)] + lines[lines.index(_YAML_END) + 1 :]
            if lines:
                yield key, lines
        elif not isinstance(header[key], fits.card.Undefined):
            yield key, header[key]


def is_structure(key: str) -> bool:
    """Whether a keyword says how a file is built, and nothing of what is in it."""
    return bool(_STRUCTURE.fullmatch(key))


def yaml_comments(lines: list[str]) -> Iterator[str]:
    """Comments that say in YAML what FITS has no keywords for, as astropy reads and writes them."""
    yield _YAML_BEGIN
    for line in lines:
        while len(line) > _COMMENT:
            yield line[:_COMMENT] + "\\"
            line = line[_COMMENT:]
        yield line
    yield _YAML_END


def _yaml(header: fits.Header) -> dict[str, Any]:
    """What astropy adds to the header of a table that FITS has no keywords for."""
    lines = [str(line) for line in header.get("COMMENT", ())]
    if _YAML_BEGIN not in lines or _YAML_END not in lines:
        return {}
    text, joined = lines[lines.index(_YAML_BEGIN) + 1 : lines.index(_YAML_END)], ""
    for line in text:  # a line that is too long for a card ends in a backslash
        joined += line[:_COMMENT] if len(line) > _COMMENT else line + "\n"
    try:
        found: dict[str, Any] = get_header_from_yaml(joined.splitlines())
    except YamlParseError:  # the table is as good without
        return {}
    return found
