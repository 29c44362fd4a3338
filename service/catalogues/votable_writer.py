"""Writing VOTables: astropy writes what stands before and after the rows, and Arrow the rows, which are many."""

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from xml.parsers import expat

import pyarrow as pa
import pyarrow.compute as pc
from astropy.io.votable.tree import CooSys, Info, Param, Resource, VOTableFile

from service.catalogues.schema import field_text, make_field, plain, plain_schema, prototype, table_meta, unit_in

_ROWS: Final = re.compile(rb"\s*<TR>.*</TR>\s*", re.DOTALL)
_DATA: Final = re.compile(rb"\s*<DATA>.*</DATA>", re.DOTALL)
_NO_XML: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff"
"""Characters that XML does not have."""
_WIDER: Final = {
    pa.int8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.string(),
}
"""What holds the values of types that VOTable does not have."""


def write_votable(schema: pa.Schema, parts: Iterable[pa.Table]) -> Iterator[bytes]:
    """Write a VOTable with its rows as TABLEDATA; see `service.catalogues.results.write_results`."""
    fitting = _fitting(schema)
    before, after = _ROWS.split(_document(fitting))
    yield before + b"\n"
    for part in parts:
        table = plain(part)
        cells = [_cells(column.cast(kind)) for column, kind in zip(table.columns, fitting.types, strict=True)]
        rows = pc.binary_join_element_wise(
            "<TR><TD>", pc.binary_join_element_wise(*cells, "</TD><TD>"), "</TD></TR>\n", ""
        )
        yield "".join(rows.to_pylist()).encode()
    yield after


def description(schema: pa.Schema) -> bytes:
    """A VOTable without data that describes the columns, as VOParquet has it."""
    return _DATA.sub(b"", _document(_fitting(schema)))


def _fitting(schema: pa.Schema) -> pa.Schema:
    """The schema with types that VOTable has."""
    return pa.schema([field.with_type(_wider(field.type)) for field in plain_schema(schema)], schema.metadata)


def _wider(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_wider(kind.value_type), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(_wider(kind.value_type))
    return _WIDER.get(kind, kind)


def _document(schema: pa.Schema) -> bytes:
    """A VOTable with these columns and one row."""
    try:
        return _xml(schema)
    except Exception:  # noqa: BLE001, metadata of another format may be what no VOTable can say, in many ways
        return _xml(pa.schema([_bare(field) for field in schema]))


def _bare(field: pa.Field) -> pa.Field:
    """A column with its unit and description alone."""
    unit, description = (_printable(field_text(field, key) or "") for key in ("unit", "description"))
    return make_field(_printable(field.name), field.type, unit=unit, description=description)


def _printable(text: str) -> str:
    """A text without characters that XML does not have."""
    return re.sub(f"[{_NO_XML}]", "?", text)


def _xml(schema: pa.Schema) -> bytes:
    stream = io.BytesIO()
    _votable(schema).to_xml(stream, tabledata_format="tabledata")
    document = stream.getvalue()
    expat.ParserCreate().Parse(document, True)
    return document


def _votable(schema: pa.Schema) -> VOTableFile:
    meta = table_meta(schema)
    file = VOTableFile.from_table(prototype(schema))
    resource: Resource = file.resources[0]
    resource.type = "results"
    element = resource.tables[0]
    element.infos.extend(Info(**info) for info in _listed(meta, "infos"))
    element.params.extend(Param(file, **param) for param in _listed(meta, "params"))
    resource.coordinate_systems.extend(CooSys(**system) for system in _listed(meta, "coosys"))
    known = {system.ID for system in resource.coordinate_systems}
    for field, column in zip(element.fields, schema, strict=True):
        field.unit = unit_in(field_text(column, "unit"), "vounit")
        if pa.types.is_string(column.type):
            field.arraysize = "*"
        elif field.datatype == "bit":  # as which astropy writes truth values
            field.datatype = "boolean"
        if (reference := meta.get("refs", {}).get(field.name)) in known:
            field.ref = reference
    return file


def _listed(meta: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """What a VOTable had under this key; a table of another format may have other things there."""
    found = meta.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column in the words of TABLEDATA; null is empty."""
    kind = column.type
    if pa.types.is_nested(kind):
        return pa.chunked_array([_arrays(column.combine_chunks())])
    if pa.types.is_floating(kind):
        text = column.cast(pa.string())
        for word, standard in (("nan", "NaN"), ("inf", "+Inf"), ("-inf", "-Inf")):
            text = pc.if_else(pc.equal(text, word), standard, text)
    elif pa.types.is_string(kind):
        text = column
        for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = pc.replace_substring(text, mark, entity)
        text = pc.replace_substring_regex(text, f"[{_NO_XML}]", "?")
    elif pa.types.is_boolean(kind):
        text = pc.if_else(column, "T", "F")
    else:
        text = column.cast(pa.string())
    return pc.fill_null(text, "")


def _arrays(rows: pa.Array) -> pa.Array:
    """Arrays as their values between spaces."""
    texts = ["" if row is None else " ".join(_flattened(row)) for row in rows.to_pylist()]
    return pa.array(texts, pa.string())


def _flattened(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, list):
            yield from _flattened(value)
        elif value is None:
            yield "NaN"
        elif isinstance(value, bool):
            yield "TF"[not value]
        else:
            yield repr(value).replace("nan", "NaN").replace("inf", "Inf")
