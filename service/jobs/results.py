"""Results of a job: the rows of the catalogue in their order, with what the parts say of them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from redden.jobs import Job, ResultFormat
from service.bulk.columns import Column
from service.catalogues.catalogue import CatalogueFolder
from service.catalogues.schema import make_field
from service.jobs.chunk import CATALOGUE, ROW, folder_of, read_part
from service.jobs.pipe import streamed
from service.jobs.plan import chunks_of_rows
from service.jobs.state import Part
from service.jobs.store import Store
from service.jobs.writers import MEDIA_TYPES, SUFFIXES, write_results

PENDING: Final = "pending"
"""Status of a row that has not been measured yet."""

PAGE: Final = 2**18
"""Rows that are put together at a time. Neighbours in the catalogue may be in any part, so each page reads them all."""

_COLUMNS: Final = "columns.parquet"


_CLASH: Final = "redden_"
"""What goes before the name of a result that the catalogue has a column of."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """Results as a file that is being written."""

    content: Iterator[bytes]
    media_type: str
    name: str


def write_columns(folder: Path, columns: Sequence[Column]) -> None:
    """Write down which columns the results of a job will have, into its folder."""
    fields = [
        make_field(column.name, column.type, unit=column.unit, description=column.description, meta={"ucd": column.ucd})
        for column in columns
    ]
    pq.write_table(pa.schema(fields).empty_table(), folder / _COLUMNS)


def result_file(
    store: Store, job: Job, parts: Mapping[int, Part], format: ResultFormat, start: int, stop: int
) -> ResultFile:
    """Rows of a job in a format, with the columns and metadata of its catalogue.

    Parameters
    ----------
    store : Store
        Where they are.
    job : Job
        The job.
    parts : mapping of int to Part
        The parts that are there, by chunk; rows of others are `PENDING`.
    format : str
        How they are written.
    start, stop : int
        First row, and the row after the last one.
    """
    pages = _rows(store, job.id, parts, start, stop)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", job.name or job.id)
    content = streamed(lambda file: write_results(format, pages, file))
    return ResultFile(content, MEDIA_TYPES[format], f"{name}.{SUFFIXES[format]}")


def row_values(store: Store, job: str, parts: Mapping[int, Part], row: int) -> dict[str, Any]:
    """One row of a job by column; numbers that JSON has no word for are None."""
    (table,) = _rows(store, job, parts, row, row + 1)
    (values,) = table.to_pylist()
    return {name: _jsonable(value) for name, value in values.items()}


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, list):
        return [_jsonable(each) for each in value]
    return value


def _rows(store: Store, job: str, parts: Mapping[int, Part], start: int, stop: int) -> Iterator[pa.Table]:
    """Rows of the catalogue with their results, `PAGE` at a time; an empty table if there are none."""
    catalogue = CatalogueFolder.open(store.copy(f"{folder_of(job)}/{CATALOGUE}"))
    with store.open(folder_of(job), _COLUMNS) as file:
        schema = pq.read_schema(file)
    for first in range(start, max(stop, start + 1), PAGE):
        last = min(first + PAGE, stop)
        rows = pa.concat_tables([catalogue.schema.empty_table(), *catalogue.read(first, last)])
        yield _side_by_side(rows, _page(store, job, parts, schema, first, last))


def _side_by_side(rows: pa.Table, results: pa.Table) -> pa.Table:
    for field, column in zip(results.schema, results.columns, strict=True):
        name = field.name
        while name in rows.schema.names:
            name = f"{_CLASH}{name}"
        rows = rows.append_column(field.with_name(name), column)
    return rows


def _page(store: Store, job: str, parts: Mapping[int, Part], schema: pa.Schema, start: int, stop: int) -> pa.Table:
    chunks = np.unique(chunks_of_rows(store, folder_of(job), start, stop))
    tables, places = [schema.empty_table()], [np.empty(0, np.int64)]
    for chunk in chunks.tolist():
        if chunk in parts:
            table = read_part(store, job, parts[chunk])
            rows = table.column(ROW).to_numpy()
            within = (rows >= start) & (rows < stop)
            tables.append(table.filter(pa.array(within)).select(schema.names).cast(schema))
            places.append(rows[within])
    measured = np.concatenate(places)
    missing = np.setdiff1d(np.arange(start, stop), measured)
    tables.append(_pending(schema, len(missing)))
    order = np.argsort(np.concatenate([measured, missing]))
    return pa.concat_tables(tables).take(pa.array(order))


def _pending(schema: pa.Schema, rows: int) -> pa.Table:
    columns = [pa.repeat(PENDING, rows) if field.name == "status" else pa.nulls(rows, field.type) for field in schema]
    return pa.table(columns, schema=schema)
