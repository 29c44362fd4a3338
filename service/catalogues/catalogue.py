"""A catalogue as it was read, and as it is kept in a folder for those who measure it."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from redden.fits import Upload
from service.catalogues.sky import Columns

_TABLE: Final = "catalogue.parquet"
_OBJECTS: Final = "objects.parquet"
_PIXELS: Final = "pixels.bin"
_ROWS: Final = 16_384
"""Rows that are read at once from a folder."""

FILES: Final = pa.list_(pa.struct({"name": pa.string(), "offset": pa.int64(), "size": pa.int64()}))
"""Type of the files of an object: their names, and where in the pixels they are."""


@dataclass(frozen=True, slots=True)
class Images:
    """FITS files of many galaxies, one after the other in one file.

    Attributes
    ----------
    files : pyarrow.Array of `FILES`
        The files of each galaxy.
    pixels : binary file
        Where they are; a temporary file, gone when it is closed.
    """

    files: pa.Array
    pixels: IO[bytes]

    def __del__(self) -> None:
        self.pixels.close()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Many galaxies: a row each, and either where it is on the sky or its images.

    Attributes
    ----------
    table : pyarrow.Table
        The rows and columns to give back, untouched and in order; its schema holds units, UCDs, descriptions and the
        table's metadata, see `service.catalogues.schema`.
    columns : Columns
        Which columns of the file say where the galaxies are.
    ra, dec : ndarray of float64, shape (N,), or None
        Positions in degrees (ICRS), NaN where a row has none; None if there are images.
    redshift : ndarray of float64, shape (N, 2), or None
        Redshift and its standard error, NaN where unknown.
    images : Images or None
        The galaxies' images; None if there are positions.
    """

    table: pa.Table
    columns: Columns = field(default_factory=Columns)
    ra: NDArray[np.float64] | None = None
    dec: NDArray[np.float64] | None = None
    redshift: NDArray[np.float64] | None = None
    images: Images | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def write(self, folder: Path) -> None:
        """Keep the rows, and the images, in a folder for `CatalogueFolder` to open."""
        pq.write_table(self.table, folder / _TABLE, row_group_size=_ROWS, use_compliant_nested_type=False)
        if self.images is not None:
            pq.write_table(pa.table({"files": self.images.files}), folder / _OBJECTS, row_group_size=_ROWS)
            self.images.pixels.seek(0)
            with (folder / _PIXELS).open("wb") as file:
                shutil.copyfileobj(self.images.pixels, file, 2**20)


@dataclass(frozen=True, slots=True)
class CatalogueFolder:
    """A catalogue in a folder; only what is asked for is read.

    Attributes
    ----------
    folder : Path
        The folder.
    schema : pyarrow.Schema
        Of the rows.
    rows : int
        How many there are.
    """

    folder: Path
    schema: pa.Schema
    rows: int

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The catalogue that `Catalogue.write` kept in this folder. Raises OSError if there is none."""
        with pq.ParquetFile(folder / _TABLE) as file:
            return cls(folder, file.schema_arrow, file.metadata.num_rows)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[pa.Table]:
        """The rows from `start` to `stop`, which is not among them, some thousand at a time."""
        yield from _slices(self.folder / _TABLE, start, self.rows if stop is None else min(stop, self.rows))

    def uploads(self, rows: Sequence[int] | NDArray[np.int64]) -> Iterator[list[Upload]]:
        """The FITS files of these rows, a list for each in the same order."""
        with (self.folder / _PIXELS).open("rb") as pixels:
            for files in self._files(np.asarray(rows)):
                found = []
                for file in files:
                    pixels.seek(file["offset"])
                    found.append(Upload(file["name"], pixels.read(file["size"])))
                yield found

    def _files(self, rows: NDArray[np.int64]) -> Iterator[list[dict[str, Any]]]:
        if len(rows):
            start = int(rows.min())
            index = pa.concat_tables(_slices(self.folder / _OBJECTS, start, int(rows.max()) + 1))
            for row in rows:
                yield index["files"][int(row) - start].as_py()


def _slices(path: Path, start: int, stop: int) -> Iterator[pa.Table]:
    """Rows of a Parquet file, read one row group at a time."""
    with pq.ParquetFile(path) as file:
        for number in range(start // _ROWS, -(-stop // _ROWS)):
            first = number * _ROWS
            group = file.read_row_group(number)
            yield group.slice(max(start - first, 0), min(stop - first, _ROWS) - max(start - first, 0))
