"""Until the writers of all formats are there: Parquet."""

from collections.abc import Iterator
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

MEDIA_TYPES: Final[dict[str, str]] = dict.fromkeys(
    ("parquet", "csv", "ecsv", "votable", "fits", "jsonl"), "application/vnd.apache.parquet"
)
SUFFIXES: Final[dict[str, str]] = dict.fromkeys(MEDIA_TYPES, "parquet")


def write_results(format: str, pages: Iterator[pa.Table], stream: IO[Any]) -> None:
    """Write Parquet."""
    first = next(pages)
    with pq.ParquetWriter(stream, first.schema) as writer:
        writer.write_table(first)
        for page in pages:
            writer.write_table(page)
