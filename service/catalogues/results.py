"""Writing a catalogue with its results, some thousand rows at a time, in the formats of the field.

In every format the columns of the catalogue come first, then those of the measurement, with the same values. What is
null is an empty cell (CSV, ECSV, VOTable), ``null`` (JSON), or what FITS has for it.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from astropy.io import ascii as astropy_ascii

from redden.jobs import ResultFormat
from service.bulk.columns import Column
from service.catalogues.fits_writer import write_fits
from service.catalogues.parquet import VERSION_KEY, VOTABLE_KEY
from service.catalogues.schema import as_json, make_field, plain, plain_schema, prototype, table_meta, with_meta
from service.catalogues.votable_writer import description, write_votable

PREFIX: Final = "redden_"
"""What the name of a result begins with if the catalogue has a column of that name."""

Parts = Iterable[pa.Table]


def results_schema(catalogue: pa.Schema, columns: Sequence[Column]) -> pa.Schema:
    """The schema of a catalogue with its results.

    Parameters
    ----------
    catalogue : pyarrow.Schema
        Of the catalogue's columns that come back.
    columns : sequence of Column
        The results, see `service.bulk.columns`.

    Returns
    -------
    pyarrow.Schema
        With units, UCDs and descriptions. A result whose name the catalogue has, be it in other letters, begins with
        `PREFIX`, and so does all else of its quantity: a median beside another's interval would be misread.
    """
    taken = {name.lower() for name in catalogue.names}
    schema = catalogue
    for _, of_one in groupby(columns, key=lambda column: column.quantity or column.name):
        together, prefix = list(of_one), ""
        while any((prefix + column.name).lower() in taken for column in together):
            prefix += PREFIX
        for column in together:
            field = make_field(
                prefix + column.name,
                column.type,
                unit=column.unit,
                description=column.description,
                meta={"ucd": column.ucd} if column.ucd else {},
            )
            taken.add(field.name.lower())
            schema = schema.append(field)
    return schema


def write_results(format: ResultFormat, schema: pa.Schema, parts: Parts) -> Iterator[bytes]:
    """Write a table piece by piece.

    Parameters
    ----------
    format : str
        Format of the file.
    schema : pyarrow.Schema
        Of `results_schema`.
    parts : iterable of pyarrow.Table
        The rows, in order; columns are taken in the order of the schema, whatever they are called.

    Yields
    ------
    bytes
        The file. A FITS table states the number of its rows and the width of its text at the start, so that all rows
        pass through a temporary file first; all other formats are written as the parts come.
    """
    named = (pa.Table.from_arrays(part.columns, names=schema.names).cast(schema) for part in parts)
    return FORMATS[format].write(schema, named)


def _write_parquet(schema: pa.Schema, parts: Parts) -> Iterator[bytes]:
    described = {VERSION_KEY: b"1.0", VOTABLE_KEY: description(schema)}
    full = with_meta(schema, table_meta(schema))
    full = full.with_metadata({**full.metadata, **described})
    sink = _Sink()
    with pq.ParquetWriter(pa.PythonFile(sink, "w"), full, use_compliant_nested_type=False) as writer:
        for part in parts:
            writer.write_table(part.replace_schema_metadata(full.metadata))
            yield sink.drained()
    yield sink.drained()


class _Sink(io.RawIOBase):
    """A file that is sent off as it is written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def drained(self) -> bytes:
        """What was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _write_csv(schema: pa.Schema, parts: Parts) -> Iterator[bytes]:
    yield _csv(plain_schema(schema).empty_table(), header=True)
    for part in parts:
        yield _csv(plain(part))


def _write_ecsv(schema: pa.Schema, parts: Parts) -> Iterator[bytes]:
    header = io.StringIO()
    astropy_ascii.write(prototype(plain_schema(schema)), header, format="ecsv", delimiter=",")
    yield "".join(line for line in header.getvalue().splitlines(keepends=True) if line.startswith("#")).encode()
    yield _csv(plain_schema(schema).empty_table(), header=True)
    for part in parts:
        table = plain(part)
        for number, field in enumerate(table.schema):
            if pa.types.is_boolean(field.type):
                words = pc.if_else(table[number], "True", "False")
                table = table.set_column(number, field.name, words)
        yield _csv(table)


def _csv(table: pa.Table, header: bool = False) -> bytes:
    """Lines of CSV; text is quoted, so that an empty one differs from none."""
    for number, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            table = table.set_column(number, field.name, as_json(table[number]))
    sink = pa.BufferOutputStream()
    arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=header))
    return bytes(sink.getvalue().to_pybytes())


def _write_jsonl(schema: pa.Schema, parts: Parts) -> Iterator[bytes]:
    for part in parts:
        cells = [
            pc.binary_join_element_wise(f"{json.dumps(field.name)}: ", _json_values(part[field.name]), "")
            for field in part.schema
        ]
        lines = pc.binary_join_element_wise("{", pc.binary_join_element_wise(*cells, ", "), "}\n", "")
        yield "".join(lines.to_pylist()).encode()


def _json_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column as JSON, which has neither NaN nor infinities: they are null."""
    kind = column.type
    if pa.types.is_floating(kind):
        text = pc.if_else(pc.is_finite(column), column, None).cast(pa.string())
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        text = column.cast(pa.string())
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
        text = as_json(column)
    else:
        text = pc.binary_join_element_wise('"', column.cast(pa.string()), '"', "")
        special = pc.match_substring_regex(column.cast(pa.string()), r'["\\\x00-\x1f\x7f]')
        if pc.any(special).as_py():
            text = as_json(column.cast(pa.string()))
    return pc.fill_null(text, "null")


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a table.

    Attributes
    ----------
    media_type : str
        For ``Content-Type``.
    extension : str
        For file names.
    write : callable
        From a schema and the rows to the bytes of the file.
    """

    media_type: str
    extension: str
    write: Callable[[pa.Schema, Parts], Iterator[bytes]]


FORMATS: Final[dict[ResultFormat, Format]] = {
    "parquet": Format("application/vnd.apache.parquet", ".parquet", _write_parquet),
    "csv": Format("text/csv; charset=utf-8; header=present", ".csv", _write_csv),
    "ecsv": Format("application/x-ecsv", ".ecsv", _write_ecsv),
    "votable": Format("application/x-votable+xml", ".vot", write_votable),
    "fits": Format("application/fits", ".fits", write_fits),
    "jsonl": Format("application/jsonl", ".jsonl", _write_jsonl),
}
"""The formats of results by name."""
