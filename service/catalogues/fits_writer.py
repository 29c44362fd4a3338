"""Writing FITS tables: astropy writes the header, numpy the rows."""

import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits
from astropy.table.meta import get_yaml_from_table
from numpy.typing import NDArray

from service.catalogues.fits_table import FITS, is_structure, yaml_comments
from service.catalogues.schema import (
    MIXINS,
    as_json,
    field_meta,
    field_text,
    plain,
    plain_schema,
    prototype,
    table_meta,
    unit_in,
    with_meta,
)

_CODES: Final = {
    pa.bool_(): "L",
    pa.uint8(): "B",
    pa.int8(): "B",
    pa.int16(): "I",
    pa.uint16(): "I",
    pa.int32(): "J",
    pa.uint32(): "J",
    pa.int64(): "K",
    pa.uint64(): "K",
    pa.float32(): "E",
    pa.float64(): "D",
}
_OFFSETS: Final = {pa.int8(): -128, pa.uint16(): 2**15, pa.uint32(): 2**31, pa.uint64(): 2**63}
"""``TZERO`` of the types that FITS does not have."""
_LOGICAL: Final = np.frombuffer(b"FT\x00", np.uint8)
"""False, true and null."""
_KEYWORD: Final = re.compile(r"[A-Z0-9_-]{1,8}")


def write_fits(schema: pa.Schema, parts: Iterable[pa.Table]) -> Iterator[bytes]:
    """Write a FITS binary table; see `service.catalogues.results.write_results`."""
    with tempfile.TemporaryFile() as spool:
        plain_parts = (_as_text(plain(part)) for part in parts)
        columns, rows = _spool(_as_text(plain_schema(schema).empty_table()).schema, plain_parts, spool)
        yield fits.PrimaryHDU().header.tostring().encode("ascii")
        yield _header(schema, columns, rows).tostring().encode("ascii")
        layout = np.dtype([(f"c{number}", column.layout) for number, column in enumerate(columns)])
        with pa.ipc.open_stream(pa.PythonFile(spool, "r")) as batches:
            for batch in batches:
                table = np.zeros(batch.num_rows, layout)
                for number, column in enumerate(columns):
                    table[f"c{number}"] = column.raw(batch.column(number))
                yield table.tobytes()
        yield bytes(-rows * layout.itemsize % 2880)


@dataclass(slots=True)
class _FitsColumn:
    """How a column is laid out, which is known once all rows were seen."""

    kind: pa.DataType
    """Of one value; of an element where there are arrays."""
    shape: tuple[int, ...]
    width: int = 1
    """Of text, in bytes."""
    has_null: bool = False

    @property
    def layout(self) -> Any:
        if pa.types.is_string(self.kind):
            return f"S{self.width}"
        if pa.types.is_boolean(self.kind):
            return "u1", self.shape
        return np.dtype(self.kind.to_pandas_dtype()).newbyteorder(">"), self.shape

    @property
    def null(self) -> int | None:
        """``TNULL``: the number in the file that stands for null."""
        if not (self.has_null and pa.types.is_integer(self.kind)):
            return None
        if self.kind in (pa.uint8(), pa.int8()):
            return 255
        limits = np.iinfo(self.kind.to_pandas_dtype())
        return int(limits.min) if limits.min else int(limits.max // 2)

    @property
    def form(self) -> str:
        """``TFORM``."""
        count = self.width if pa.types.is_string(self.kind) else math.prod(self.shape)
        return f"{count}{'A' if pa.types.is_string(self.kind) else _CODES[self.kind]}"

    def see(self, values: pa.ChunkedArray) -> None:
        """Take note of what the layout must hold."""
        self.has_null |= values.null_count > 0
        if pa.types.is_string(self.kind) and len(values):
            self.width = max(self.width, pc.max(pc.binary_length(values)).as_py() or 1)

    def raw(self, values: pa.Array) -> NDArray[Any]:
        """The values as the file holds them, shape (N, ...)."""
        if pa.types.is_string(self.kind):
            return np.array(pc.fill_null(values, "").to_pylist(), dtype=f"S{self.width}")
        rows = len(values)
        for _ in self.shape:
            values = _elements(values)
        if pa.types.is_boolean(self.kind):
            raw = _LOGICAL[np.asarray(pc.fill_null(values.cast(pa.uint8()), 2))]
        elif pa.types.is_floating(self.kind):
            raw = np.asarray(values.to_numpy(zero_copy_only=False))
        else:
            raw = np.asarray(pc.fill_null(values, 0))
            if self.kind in _OFFSETS:  # subtracting TZERO turns the highest bit
                bits = np.dtype(f"u{raw.itemsize}")
                raw = (raw.view(bits) ^ bits.type(1 << (8 * raw.itemsize - 1))).view(raw.dtype)
            if self.null is not None:
                raw = np.where(np.asarray(values.is_null()), np.array(self.null).astype(raw.dtype), raw)
        shaped: NDArray[Any] = raw.reshape(rows, *self.shape)
        return shaped


def _elements(arrays: pa.Array) -> pa.Array:
    """What is in arrays of fixed size, one after the other; nulls where an array is null."""
    size = arrays.type.list_size
    where = np.repeat(np.asarray(arrays.is_null()), size)
    elements = arrays.values.slice(arrays.offset * size, len(arrays) * size)
    return pc.if_else(pa.array(where), None, elements) if where.any() else elements


def _as_text(table: pa.Table) -> pa.Table:
    """The table with arrays of any length as JSON, and all text in ASCII, as FITS demands it."""
    for number, field in enumerate(table.schema):
        column = as_json(table[number]) if pa.types.is_list(field.type) else table[number]
        if pa.types.is_string(column.type):
            if not pc.all(pc.string_is_ascii(column)).as_py() and len(column):
                texts = [text and _ascii(text) for text in column.to_pylist()]
                column = pa.chunked_array([pa.array(texts, pa.string())])
            table = table.set_column(number, field.with_type(pa.string()), column)
    return table


def _ascii(text: str) -> str:
    """A text in the characters that FITS has."""
    escaped = text.encode("ascii", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in escaped)


def _spool(schema: pa.Schema, parts: Iterable[pa.Table], spool: IO[bytes]) -> tuple[list[_FitsColumn], int]:
    """Put all rows into a temporary file, and tell how wide the columns are and how many rows there are."""
    columns = []
    for field in schema:
        kind, shape = field.type, []
        while pa.types.is_fixed_size_list(kind):
            shape.append(kind.list_size)
            kind = kind.value_type
        columns.append(_FitsColumn(kind, tuple(shape)))
    rows = 0
    with pa.ipc.new_stream(pa.PythonFile(spool, "w"), schema) as stream:
        for part in parts:
            for column, values in zip(columns, part.columns, strict=True):
                column.see(values)
            rows += part.num_rows
            stream.write_table(part.replace_schema_metadata(schema.metadata).combine_chunks())
    spool.seek(0)
    return columns, rows


def _header(schema: pa.Schema, columns: list[_FitsColumn], rows: int) -> fits.Header:
    schema = pa.schema([_in_words(field) for field in schema], schema.metadata)
    made = [
        fits.Column(
            name=_ascii(field.name),
            format=column.form,
            unit=_ascii(unit_in(field_text(field, "unit"), "fits") or ""),
            null=column.null,
            bzero=_OFFSETS.get(column.kind),
            dim=str(column.shape[::-1]) if len(column.shape) > 1 else None,
        )
        for field, column in zip(schema, columns, strict=True)
    ]
    header = fits.BinTableHDU.from_columns(made, nrows=0).header
    header["NAXIS2"] = rows
    for number, field in enumerate(schema, start=1):
        meta = field_meta(field)
        known = {"TUCD": meta.get("ucd"), "TUTYP": meta.get("utype"), "TCOMM": field_text(field, "description")}
        others = meta.get(FITS)
        for key, value in (known | (others if isinstance(others, dict) else {})).items():
            _add_card(header, f"{key}{number}", value)
    others = {key: value for key, value in table_meta(schema).items() if not _add_card(header, key, value)}
    described = prototype(plain_schema(with_meta(schema, others)))
    described.meta.setdefault(MIXINS, {})  # which astropy looks for
    for line in yaml_comments(get_yaml_from_table(described)):
        header.add_comment(line)
    return header


def _in_words(field: pa.Field) -> pa.Field:
    """A column whose unit, if it is a logarithm, stands in its description: FITS has no word for it in ``TUNITn``."""
    unit = u.Unit(field_text(field, "unit") or "", parse_strict="silent")
    if not isinstance(unit, u.function.FunctionUnitBase):
        return field
    words = f"{field_text(field, 'description') or ''}, in {unit.to_string()}".removeprefix(", ")
    known = {key: value for key, value in field.metadata.items() if key != b"unit"}
    return field.with_metadata(known | {b"description": words.encode()})


def _add_card(header: fits.Header, key: str, value: Any) -> bool:
    """Write what a table says about itself as a keyword, if FITS can."""
    lines = value if isinstance(value, list) else [value]
    fits_text = all(not isinstance(line, str) or (line.isascii() and line.isprintable()) for line in lines)
    if key in ("COMMENT", "HISTORY"):
        if fits_text := fits_text and all(isinstance(line, str) for line in lines):
            for line in lines:
                header[key] = line
        return fits_text
    scalar = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    if not (scalar and fits_text and _KEYWORD.fullmatch(key)) or key in header or is_structure(key):
        return False
    header[key] = value
    return True
