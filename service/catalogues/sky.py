"""Where the galaxies of a table are: which columns hold the positions and redshifts, and what they are in degrees."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from redden.errors import CatalogueError
from redden.options import HIGHEST_REDSHIFT
from service.catalogues.schema import as_floats, field_meta, field_text, is_number, table_meta

_NAMES: Final = (
    ("ra", "dec"),
    ("raicrs", "deicrs"),
    ("raicrs", "decicrs"),
    ("radeg", "dedeg"),
    ("radeg", "decdeg"),
    ("radegrees", "decdegrees"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("alphaj2000", "deltaj2000"),
    ("alphawinj2000", "deltawinj2000"),
    ("alphapeakj2000", "deltapeakj2000"),
    ("alphasky", "deltasky"),
    ("ramean", "decmean"),
    ("sra", "sdec"),
    ("targetra", "targetdec"),
    ("objra", "objdec"),
    ("ra", "de"),
    ("alpha", "delta"),
    ("rightascension", "declination"),
    ("skycentroidra", "skycentroiddec"),
    ("skycoordra", "skycoorddec"),
    ("coordra", "coorddec"),
)
"""Usual names of right ascension and declination, best first, in small letters and digits alone."""
_REDSHIFTS: Final = (("redshift", "redshifterror"), ("redshift", "redshifterr"), ("redshift", "eredshift"))
_SEXAGESIMAL: Final = (
    r"^(?P<sign>[+\-\x{2212}]?)\s*(?P<whole>\d{1,3})(?P<mark>\s*[:hHdD\x{b0}]\s*|\s+)(?P<minutes>\d{1,2}(?:\.\d*)?)"
    r"(?:(?:\s*[:mM'\x{2032}]\s*|\s+)(?P<seconds>\d{1,2}(?:\.\d*)?)?\s*[sS\"\x{2033}]?)?$"
)
"""``01:59:59.767``, ``1h59m59.767s``, ``+12 00 17.93``, ``30d00m10s``, ``12:30.5``; in RE2's syntax."""
_FRAMES: Final = ("icrs", "fk5", "eq_fk5", "barycentric")
"""Frames, in small letters, that agree with ICRS within a pixel; ``barycentric`` is an old word for it."""
_MISSING: Final = ("", "-", "--", "nan", "null", "none", "n/a")
_UNKNOWN_REDSHIFT: Final = -0.01
"""Redshifts below this are the -1, -9 and -99 that stand for unknown; blueshifted galaxies are within it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table say where the galaxies are; those that a request does not name are found."""

    ra: str | None = None
    dec: str | None = None
    redshift: str | None = None
    redshift_error: str | None = None

    def found_in(self, schema: pa.Schema, *, positions: bool = True) -> "Columns":
        """The columns that are there: by name if one is given, else by UCD, else by the usual names.

        Without `positions` only those of the redshift are looked for.

        Raises
        ------
        CatalogueError
            If a named column is not there, only one of two is named, or none is found.
        """
        for name in (self.ra, self.dec, self.redshift, self.redshift_error):
            if name is not None and name not in schema.names:
                raise CatalogueError(f"the catalogue has no column {name!r}.{near(name, schema)}")
        ra, dec = self._positions(schema) if positions else (None, None)
        redshift, error = self._redshifts(schema)
        return Columns(ra, dec, redshift, error)

    def _positions(self, schema: pa.Schema) -> tuple[str, str]:
        if self.ra and self.dec:
            return self.ra, self.dec
        if self.ra or self.dec:
            there, lacking = ("ra", "dec") if self.ra else ("dec", "ra")
            raise CatalogueError(f"`{there}` names a column and `{lacking}` does not. Name both, or none.")
        ucds = {name: str(field_meta(schema.field(name)).get("ucd", "")).lower() for name in schema.names}
        for main in (True, False):
            pair = _by_ucd(ucds, "pos.eq.ra", main), _by_ucd(ucds, "pos.eq.dec", main)
            if pair[0] and pair[1]:
                return pair[0], pair[1]
        if found := _by_names(schema, _NAMES):
            return found
        raise CatalogueError(
            "no column of the catalogue is known to be a position, by its UCD (pos.eq.ra;meta.main) or its name "
            f"(ra and dec, RA_ICRS and DE_ICRS ...). Name two with `ra` and `dec`; there are: {_listed(schema)}."
        )

    def _redshifts(self, schema: pa.Schema) -> tuple[str | None, str | None]:
        if self.redshift:
            return self.redshift, self.redshift_error
        if self.redshift_error:
            raise CatalogueError("`redshift_error` names a column and `redshift` does not. Name both, or the latter.")
        if found := _by_names(schema, _REDSHIFTS):
            return found
        return next((name for name in schema.names if _plain(name) == "redshift"), None), None


def _by_ucd(ucds: dict[str, str], word: str, main: bool) -> str | None:
    """The column of this UCD; of several that are not called the main one, the first."""
    old = word.replace(".", "_") + "_main"
    for name, ucd in ucds.items():
        words = ucd.split(";")
        if ucd == old or (words[0] == word and set(words[1:]) == ({"meta.main"} if main else set())):
            return name
    return None


def _by_names(schema: pa.Schema, pairs: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    names: dict[str, str] = {}
    for name in schema.names:
        names.setdefault(_plain(name), name)
    return next(((names[first], names[second]) for first, second in pairs if first in names and second in names), None)


def _plain(name: str) -> str:
    """A name in small letters and digits: ``ALPHA_J2000`` and ``alpha.j2000`` are the same."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def near(name: str, schema: pa.Schema) -> str:
    """A sentence, after a space, that tells the column that may be meant, or all."""
    names = {known.lower(): known for known in schema.names}
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f" Did you mean {names[near[0]]!r}?" if near else f" There are: {_listed(schema)}."


def _listed(schema: pa.Schema, most: int = 30) -> str:
    names = ", ".join(schema.names[:most])
    return f"{names} and {len(schema.names) - most} more" if len(schema.names) > most else names


def positions(table: pa.Table, columns: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination in degrees, shape (N,); NaN where there is none.

    Numbers without a unit are degrees. Text is degrees too, or sexagesimal: a right ascension then is in hours unless
    it says that it is in degrees (``30d00m10s``).

    Raises
    ------
    CatalogueError
        If a value cannot be read or is not on the sky; the message names the row, from 1, and the column.
    """
    assert columns.ra
    assert columns.dec
    _check_frame(table.schema, columns.ra)
    ra = _degrees(table, columns.ra, 15.0)
    dec = _degrees(table, columns.dec, 1.0)
    _check(table, columns.ra, (ra < 0) | (ra > 360), "is no right ascension, which is between 0 and 360 degrees")
    _check(table, columns.dec, np.abs(dec) > 90, "is no declination, which is between -90 and 90 degrees")
    return ra, dec


def redshifts(table: pa.Table, columns: Columns) -> NDArray[np.float64] | None:
    """Redshift and its standard error, shape (N, 2), NaN where unknown; None if no column holds redshifts.

    Without a column of errors all redshifts are exact, as spectroscopic ones nearly are.

    Raises
    ------
    CatalogueError
        If a value is no number, or above `HIGHEST_REDSHIFT`.
    """
    if columns.redshift is None:
        return None
    z = _numbers(table, columns.redshift)
    _check(
        table,
        columns.redshift,
        z > HIGHEST_REDSHIFT,
        f"is no redshift up to {HIGHEST_REDSHIFT}; where unknown, leave it blank",
    )
    z[~np.isfinite(z) | (z < _UNKNOWN_REDSHIFT)] = np.nan
    error = np.zeros_like(z) if columns.redshift_error is None else _numbers(table, columns.redshift_error)
    error[~np.isfinite(error) | (error < 0)] = np.nan
    return np.stack([z, error], axis=1)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    column = table[name]
    if is_number(column.type):
        return as_floats(column).copy()
    if not _is_text(column.type):
        raise CatalogueError(f"column {name!r} holds {column.type}, not numbers.")
    return _parsed(table, name, lambda text: np.full(len(text), np.nan), "is no number")


def _degrees(table: pa.Table, name: str, per_hour: float) -> NDArray[np.float64]:
    """A column of angles in degrees; sexagesimal ones are in units of `per_hour` degrees."""
    column, unit = table[name], field_text(table.schema.field(name), "unit")
    if is_number(column.type):
        values = as_floats(column) * _factor(name, unit)
    elif _is_text(column.type):
        values = _parsed(
            table,
            name,
            lambda text: _sexagesimal(text, per_hour),
            "is no angle; give degrees (29.99903) or sexagesimal (01:59:59.767, +12:00:17.93)",
        )
    else:
        raise CatalogueError(f"column {name!r} holds {column.type}, not angles. Name another with `ra` and `dec`.")
    return np.where(np.isfinite(values), values, np.nan)


def _factor(name: str, unit: str | None) -> float:
    if not unit:
        return 1.0
    known = u.Unit(unit, parse_strict="silent")
    if known == u.hour:  # as in VizieR's tables
        known = u.hourangle
    try:
        return float(known.to(u.deg))
    except u.UnitsError:
        raise CatalogueError(
            f"column {name!r} is in {unit!r}, which is no angle. Give degrees, radians or hours."
        ) from None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _parsed(
    table: pa.Table, name: str, otherwise: Callable[[pa.Array], NDArray[np.float64]], complaint: str
) -> NDArray[np.float64]:
    """A column of text as numbers; what is no number is read `otherwise`, and what then is NaN is refused."""
    text = pc.utf8_trim_whitespace(table[name].cast(pa.string()).combine_chunks())
    text = pc.if_else(pc.is_in(pc.utf8_lower(text), pa.array(_MISSING)), None, text)
    plain = pc.match_substring_regex(text, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    digits = pc.utf8_ltrim(pc.if_else(plain, text, None), "+")
    values = digits.cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
    others = pc.fill_null(pc.invert(plain), False).to_numpy(zero_copy_only=False)
    if others.any():
        values[others] = otherwise(text.filter(pa.array(others)))
        _check(table, name, others & np.isnan(values), complaint)
    return np.asarray(values, dtype=np.float64)


def _sexagesimal(text: pa.Array, per_hour: float) -> NDArray[np.float64]:
    """Degrees of sexagesimal angles; NaN for what is none."""
    parts = pc.extract_regex(text, _SEXAGESIMAL)
    whole, minutes, seconds = (
        pc.if_else(pc.equal(part := pc.struct_field(parts, name), ""), "0", part)
        .cast(pa.float64())
        .to_numpy(zero_copy_only=False)
        for name in ("whole", "minutes", "seconds")
    )
    mark = pc.utf8_lower(pc.utf8_trim_whitespace(pc.struct_field(parts, "mark")))
    in_hours = pc.equal(mark, "h")
    in_degrees = pc.is_in(mark, pa.array(["d", "\u00b0"]))
    units = pc.if_else(in_degrees, 1.0, pc.if_else(in_hours, 15.0, per_hour)).to_numpy(zero_copy_only=False)
    signs = pc.if_else(pc.is_in(pc.struct_field(parts, "sign"), pa.array(["-", "\u2212"])), -1.0, 1.0)
    values = np.array(signs.to_numpy(zero_copy_only=False) * units * (whole + minutes / 60 + seconds / 3600))
    values[(minutes >= 60) | (seconds >= 60)] = np.nan
    return values


def _check_frame(schema: pa.Schema, name: str) -> None:
    """Refuse positions that a VOTable says are in another frame."""
    meta = table_meta(schema)
    reference = meta.get("refs", {}).get(name) if isinstance(meta.get("refs"), dict) else None
    systems = meta.get("coosys")
    listed = systems if isinstance(systems, list) else []
    for system in (one for one in listed if isinstance(one, dict) and one.get("ID") == reference):
        frame = str(system.get("system", "ICRS"))
        if frame.lower() not in _FRAMES:
            raise CatalogueError(f"column {name!r} is in the frame {frame}. Convert the positions to ICRS.")


def _check(table: pa.Table, name: str, wrong: NDArray[np.bool_], complaint: str) -> None:
    """Refuse a column with wrong values, and say which is the first."""
    if wrong.any():
        first, more = int(np.argmax(wrong)), int(wrong.sum()) - 1
        others = f" (and {more} more rows)" if more else ""
        raise CatalogueError(f"row {first + 1}, column {name!r}: {table[name][first].as_py()!r} {complaint}{others}.")
