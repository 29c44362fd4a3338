"""A table in Arrow's columns, and what its schema remembers: units, UCDs, descriptions, and the table's own metadata.

Every reader makes such a table and every writer takes one, so a catalogue may come in one format and go in another.
A field's metadata holds ``unit``, ``description``, ``format`` and the rest of what `astropy.table` calls ``meta``
(``ucd``, ``utype`` ...); the schema's metadata holds the table's ``meta``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import astropy.units as u
import numpy as np
import pyarrow as pa
from astropy.table import Column, SerializedColumn, Table
from numpy.typing import NDArray

MIXINS: Final = "__serialized_columns__"
"""Where astropy keeps in a table's metadata which columns together are a time, a position ..."""

_META: Final = b"redden.meta"


def make_field(
    name: str,
    kind: pa.DataType,
    *,
    unit: str | None = None,
    description: str | None = None,
    format: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> pa.Field:
    """A field of a schema with what is known of the column."""
    known = {"unit": unit, "description": description, "format": format}
    stated = {key: text for key, text in known.items() if text}
    if meta:
        stated["meta"] = _to_json(meta)
    return pa.field(name, kind, metadata=stated)


def field_text(field: pa.Field, key: str) -> str | None:
    """``unit``, ``description`` or ``format`` of a column; None if not known."""
    found = (field.metadata or {}).get(key.encode())
    return None if found is None else found.decode()


def field_meta(field: pa.Field) -> dict[str, Any]:
    """The rest of what is known of a column: ``ucd``, ``utype`` ..."""
    found: dict[str, Any] = json.loads((field.metadata or {}).get(b"meta", b"{}"))
    return found


def table_meta(schema: pa.Schema) -> dict[str, Any]:
    """What a table says about itself."""
    found: dict[str, Any] = json.loads((schema.metadata or {}).get(_META, b"{}"))
    return found


def has_meta(schema: pa.Schema) -> bool:
    """Whether a schema is one of ours, of a file that `with_meta` has passed."""
    return _META in (schema.metadata or {})


def with_meta(schema: pa.Schema, meta: Mapping[str, Any]) -> pa.Schema:
    """The schema of a table that says this about itself."""
    return schema.with_metadata({**(schema.metadata or {}), _META: _to_json(meta).encode()})


def from_astropy(table: Table) -> pa.Table:
    """The columns and metadata of an astropy table; its columns must be plain, without mixins."""
    fields, columns = [], []
    for column in table.itercols():
        array = to_arrow(column)
        unit = None if column.unit is None else known_unit(column.unit)
        fields.append(
            make_field(
                column.name,
                array.type,
                unit=unit,
                description=column.description and " ".join(column.description.split()),
                format=column.format if isinstance(column.format, str) else None,
                meta=column.meta,
            )
        )
        columns.append(array)
    return pa.Table.from_arrays(columns, schema=with_meta(pa.schema(fields), table.meta))


def to_arrow(values: NDArray[Any]) -> pa.Array:
    """An Arrow array of a numpy array, masked or not; more axes make lists of fixed size.

    Parameters
    ----------
    values : array, shape (N, ...)
        Numbers, booleans, text, complex numbers (which become pairs) or objects (text, or arrays of any length).

    Returns
    -------
    pyarrow.Array of length N
    """
    mask = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
    data = np.asarray(np.ma.getdata(values))
    if data.dtype.kind == "c":
        data = np.ascontiguousarray(data).view(data.real.dtype).reshape(*data.shape, 2)
        mask = None if mask is None else np.repeat(mask[..., np.newaxis], 2, axis=-1)
    flat = _flat(data.reshape(-1), mask.reshape(-1) if mask is not None and mask.any() else None)
    for size in reversed(data.shape[1:]):
        flat = pa.FixedSizeListArray.from_arrays(flat, size)
    return flat


def _flat(data: NDArray[Any], mask: NDArray[np.bool_] | None) -> pa.Array:
    if data.dtype.kind == "O":
        missing = np.zeros(len(data), bool) if mask is None else mask
        return pa.array([None if gone else _plain(value) for value, gone in zip(data, missing, strict=True)])
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", "replace")
    elif data.dtype.kind == "f" and data.dtype.itemsize > 8:
        data = data.astype(np.float64)
    elif data.dtype.kind in "iuf":
        data = data.astype(data.dtype.newbyteorder("="), copy=False)
    return pa.array(data, mask=mask)


def _plain(value: Any) -> Any:
    """An element of an object array, as Arrow takes it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ma.MaskedArray | np.ndarray):
        return value.tolist()
    return value


def prototype(schema: pa.Schema) -> Table:
    """An astropy table of one row with the columns and metadata of a schema, for astropy to write a header from.

    The types must be those of `plain_schema`; text is one character wide.
    """
    columns = [
        Column(
            _sample(field.type),
            name=field.name,
            unit=_unit(field_text(field, "unit")),
            description=field_text(field, "description"),
            format=field_text(field, "format"),
            meta=field_meta(field),
        )
        for field in schema
    ]
    meta = table_meta(schema)
    if mixins := _mixins(meta.pop(MIXINS, {}), schema.names):
        meta[MIXINS] = mixins
    return Table(columns, meta=meta, copy=False)


def _mixins(described: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Of what astropy makes of several columns, such as times, that whose columns are all there."""
    mixins = {name: {key: _mixin_part(part) for key, part in parts.items()} for name, parts in described.items()}
    return {name: parts for name, parts in mixins.items() if set(_columns_of(parts)) <= set(names)}


def _mixin_part(part: Any) -> Any:
    """A part of a mixin as astropy has it: a column, or what is made of columns, is a class of its own."""
    if not isinstance(part, dict):
        return part
    made = {key: _mixin_part(each) for key, each in part.items()}
    return SerializedColumn(made) if made.keys() & {"__class__", "name"} else made


def _columns_of(parts: dict[str, Any]) -> Iterator[str]:
    for part in parts.values():
        if isinstance(part, SerializedColumn) and "name" in part:
            yield part["name"]
        elif isinstance(part, dict):
            yield from _columns_of(part)


def known_unit(unit: u.UnitBase) -> str:
    """A unit as `astropy.units` writes it, or as it stands in the file if it is none of any standard."""
    if isinstance(unit, u.UnrecognizedUnit):
        unit = u.Unit(unit.to_string(), format="cds", parse_strict="silent")
    return str(unit.to_string())


def unit_in(text: str | None, format: Literal["fits", "vounit"]) -> str | None:
    """A unit in the words of a format; as VizieR has it (``[yr-1]``) if the format has none for a logarithm."""
    unit = _unit(text)
    for words in (format, "cds"):
        try:
            return unit and str(unit.to_string(words))
        except (ValueError, u.UnitsError):
            continue
    return text


def _unit(text: str | None) -> u.UnitBase | None:
    return u.Unit(text, parse_strict="silent") if text else None


def _sample(kind: pa.DataType) -> NDArray[Any]:
    """An array of one row of this type."""
    shape = [1]
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    if pa.types.is_string(kind):
        return np.full(1, " ")
    if pa.types.is_list(kind):
        rows = np.zeros(1, dtype=object)
        rows[0] = np.zeros(2, dtype=kind.value_type.to_pandas_dtype())
        return rows
    return np.zeros(shape, dtype=kind.to_pandas_dtype())


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with truth values, numbers, text, and arrays of numbers alone; `plain` makes such a table."""
    fields = [field.with_type(_plain_type(field.type)) for field in schema]
    return pa.schema(fields, schema.metadata)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_float16(kind):
        return pa.float32()
    if is_number(kind) or pa.types.is_boolean(kind):
        return kind
    if pa.types.is_fixed_size_list(kind):
        inner = _plain_type(kind.value_type)
        return pa.string() if inner == pa.string() or pa.types.is_list(inner) else pa.list_(inner, kind.list_size)
    if _is_list(kind) and is_number(kind.value_type) and not pa.types.is_float16(kind.value_type):
        return pa.list_(kind.value_type)
    return pa.string()


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def plain(table: pa.Table) -> pa.Table:
    """The table with the types of `plain_schema`; times are in ISO 8601, and what is nested is JSON."""
    schema = plain_schema(table.schema)
    columns = [_as_type(column, kind) for column, kind in zip(table.columns, schema.types, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _as_type(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if kind == pa.string() and (pa.types.is_nested(column.type) or pa.types.is_binary(column.type)):
        return as_json(column)
    return column.cast(kind)


def as_json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of arrays as JSON text."""
    texts = [None if value is None else _to_json(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def is_number(kind: pa.DataType) -> bool:
    """Whether values of this type are whole or floating-point numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def as_floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A numeric column in double precision, with NaN in place of nulls."""
    values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _to_json(value: object) -> str:
    return json.dumps(value, default=_jsonable)


def _jsonable(value: Any) -> Any:
    """What JSON knows for what may stand in the metadata of a table."""
    if isinstance(value, np.generic | np.ndarray) and not isinstance(value, u.Quantity):
        return value.tolist()
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)
