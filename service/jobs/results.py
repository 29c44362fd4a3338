"""Results of a job: the rows of the catalogue in their order, with what the parts say of them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from redden.jobs import Job, ResultFormat
from service.catalogues import FORMATS, CatalogueFolder, write_results
from service.jobs.chunk import CATALOGUE, ROW, folder_of, read_part
from service.jobs.plan import chunks_of_rows
from service.jobs.state import Part
from service.jobs.store import Store

PENDING: Final = "pending"
"""Status of a row that has not been measured yet."""

PAGE: Final = 2**18
"""Rows that are put together at a time. Neighbours in the catalogue may be in any part, so each page reads them all."""

_SCHEMA: Final = "schema.parquet"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """Results as a file that is being written."""

    content: Iterator[bytes]
    media_type: str
    name: str


def write_schema(folder: Path, schema: pa.Schema) -> None:
    """Write down which columns the results of a job will have, into its folder."""
    pq.write_table(schema.empty_table(), folder / _SCHEMA)


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
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", job.name or job.id)
    schema = _schema(store, job.id)
    written = FORMATS[format]
    content = write_results(format, schema, _rows(store, job.id, schema, parts, start, stop))
    return ResultFile(content, written.media_type, f"{name}{written.extension}")


def row_values(store: Store, job: str, parts: Mapping[int, Part], row: int) -> dict[str, Any]:
    """One row of a job by column; numbers that JSON has no word for are None."""
    (table,) = _rows(store, job, _schema(store, job), parts, row, row + 1)
    (values,) = table.to_pylist()
    return {name: _jsonable(value) for name, value in values.items()}


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, list):
        return [_jsonable(each) for each in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _schema(store: Store, job: str) -> pa.Schema:
    with store.open(folder_of(job), _SCHEMA) as file:
        return pq.read_schema(file)


def _rows(
    store: Store, job: str, schema: pa.Schema, parts: Mapping[int, Part], start: int, stop: int
) -> Iterator[pa.Table]:
    """Rows of the catalogue with their results, `PAGE` at a time."""
    catalogue = CatalogueFolder.open(store.copy(f"{folder_of(job)}/{CATALOGUE}"))
    given = len(catalogue.schema)
    columns = pa.schema([field.remove_metadata() for field in schema][given:])
    for first in range(start, stop, PAGE):
        last = min(first + PAGE, stop)
        rows = pa.concat_tables(catalogue.read(first, last))
        results = _page(store, job, parts, columns, first, last)
        yield pa.Table.from_arrays([*rows.columns, *results.columns], schema=schema)


def _page(store: Store, job: str, parts: Mapping[int, Part], schema: pa.Schema, start: int, stop: int) -> pa.Table:
    chunks = np.unique(chunks_of_rows(store, folder_of(job), start, stop))
    tables, places = [schema.empty_table()], [np.empty(0, np.int64)]
    for chunk in chunks.tolist():
        if chunk in parts:
            table = read_part(store, job, parts[chunk])
            rows = table.column(ROW).to_numpy()
            within = (rows >= start) & (rows < stop)
            found = table.drop_columns(ROW).filter(pa.array(within))
            tables.append(pa.Table.from_arrays(found.columns, schema=schema))
            places.append(rows[within])
    measured = np.concatenate(places)
    missing = np.setdiff1d(np.arange(start, stop), measured)
    tables.append(_pending(schema, len(missing)))
    order = np.argsort(np.concatenate([measured, missing]))
    return pa.concat_tables(tables).take(pa.array(order))


def _pending(schema: pa.Schema, rows: int) -> pa.Table:
    """Rows without results; the last column of results is the status, by whatever name."""
    columns = [pa.nulls(rows, field.type) for field in schema][:-1]
    return pa.table([*columns, pa.repeat(PENDING, rows)], schema=schema)
