"""The plan of a job: its rows sorted along the sky, and cut into chunks that touch few pages of the mosaics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.jobs.store import Store

_PLAN: Final = "plan.parquet"
"""What is measured, in the order of the sky; a row group is a chunk."""

_CHUNK_OF_ROW: Final = "chunks.int32"
"""Chunk of each row of the catalogue, as plain numbers."""

_STRIP: Final = 0.5
"""Width in degrees of the strips in which rows are sorted by declination: a few times that of a mosaic."""

Positions = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that are measured together.

    Attributes
    ----------
    rows : ndarray of int64, shape (N,)
        Their numbers in the catalogue, from 0.
    ra, dec : ndarray of float64, shape (N,), optional
        Positions in degrees (ICRS), NaN where there is none; None in a catalogue of images.
    redshift : ndarray of float64, shape (N, 2), optional
        Redshift and its standard error, NaN where unknown.
    """

    rows: NDArray[np.int64]
    ra: Positions | None
    dec: Positions | None
    redshift: NDArray[np.float64] | None

    def without(self, rows: NDArray[np.int64]) -> "Chunk":
        """The chunk without some of its rows."""
        left = ~np.isin(self.rows, rows)
        parts = (self.ra, self.dec, self.redshift)
        ra, dec, redshift = (part if part is None else part[left] for part in parts)
        return Chunk(self.rows[left], ra, dec, redshift)


def sky_order(ra: Positions, dec: Positions) -> NDArray[np.int64]:
    """Row numbers sorted by declination in strips of right ascension; those without a position come last.

    Mosaics lie in files line by line, mostly from south to north, so that neighbours in declination share pages.
    """
    strips = np.floor(ra * np.cos(np.radians(dec)) / _STRIP)
    return np.lexsort((dec, strips))


def write_plan(
    folder: Path, rows: int, chunk_rows: int, ra: Positions | None, dec: Positions | None, redshift: Any
) -> int:
    """Write the plan of a job into its folder.

    Parameters
    ----------
    folder : Path
        Folder of the job.
    rows, chunk_rows : int
        Rows of the catalogue, and of a chunk.
    ra, dec : ndarray of float64, shape (rows,), optional
        Positions in degrees (ICRS); without them the rows stay in order.
    redshift : ndarray of float64, shape (rows, 2), optional
        Redshift and its standard error.

    Returns
    -------
    int
        Number of chunks.
    """
    order = np.arange(rows) if ra is None or dec is None else sky_order(ra, dec)
    columns: dict[str, NDArray[Any]] = {"row": order}
    if ra is not None and dec is not None:
        columns |= {"ra": ra[order], "dec": dec[order]}
    if redshift is not None:
        columns |= {"z": redshift[order, 0], "z_error": redshift[order, 1]}
    pq.write_table(pa.table(columns), folder / _PLAN, row_group_size=chunk_rows, use_dictionary=False)
    chunk_of_row = np.empty(rows, "<i4")
    chunk_of_row[order] = np.arange(rows) // chunk_rows
    (folder / _CHUNK_OF_ROW).write_bytes(chunk_of_row.tobytes())
    return -(-rows // chunk_rows)


def read_chunk(store: Store, folder: str, number: int) -> Chunk:
    """A chunk of the plan in a folder."""
    with store.open(folder, _PLAN) as file, pq.ParquetFile(file) as plan:
        table = plan.read_row_group(number)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    redshift = np.column_stack([columns["z"], columns["z_error"]]) if "z" in columns else None
    return Chunk(columns["row"], columns.get("ra"), columns.get("dec"), redshift)


def chunks_of_rows(store: Store, folder: str, start: int, stop: int) -> NDArray[np.int32]:
    """Chunk of each row from ``start`` to ``stop``, which is not among them."""
    with store.open(folder, _CHUNK_OF_ROW) as file:
        file.seek(4 * start)
        return np.frombuffer(file.read(4 * (stop - start)), "<i4")
