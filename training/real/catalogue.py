"""A table of real galaxies: where their cutouts are, and what SED fits and slopes say of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Row, Table

from redden.errors import ReddenError
from redden.fits import Upload

REFERENCES: Final = ("a_v", "log_ssfr_10", "log_ssfr_100", "beta")
"""Columns of reference values: A_V in mag, log10 of sSFR in 1/yr over 10 and 100 Myr, and the ultraviolet slope.

The standard error of each stands in a column of the same name with ``_err``.
"""


MOST_REDSHIFT: Final = 20.0
"""Larger redshifts, negative ones such as -99, and those that are not finite count as unknown."""


class CatalogueError(ReddenError):
    """A table of real galaxies cannot be used."""


@dataclass(frozen=True, slots=True)
class RealGalaxy:
    """One row of the table; numbers are NaN where they are not known."""

    id: str
    files: tuple[Path, ...]
    """Cutouts: one file per band, or files with several bands."""
    z: float
    z_err: float
    references: dict[str, tuple[float, float]]
    """Value and standard error of each of `REFERENCES`."""
    unit: str | None
    """Unit of the pixels, in place of what the headers say."""

    @property
    def redshift(self) -> tuple[float, float] | None:
        """Redshift and its standard error; None unless z is from 0 to `MOST_REDSHIFT` and the error is usable."""
        usable = 0 <= self.z <= MOST_REDSHIFT and 0 <= self.z_err < np.inf
        return (self.z, self.z_err) if usable else None

    def uploads(self) -> list[Upload]:
        """The content of the files.

        Raises
        ------
        CatalogueError
            If a file cannot be read.
        """
        try:
            return [Upload(file.name, file.read_bytes()) for file in self.files]
        except OSError as error:
            raise CatalogueError(f"the cutouts of {self.id} cannot be read: {error}.") from error


def read_catalogue(file: Path) -> list[RealGalaxy]:
    """Read a table in any format that astropy tells from the file: CSV, ECSV, FITS, VOTable.

    Parameters
    ----------
    file : Path
        With the columns, in any case, ``id`` and ``files`` (paths beside the table, separated by blanks).
        ``z``, ``z_err``, ``unit``, and `REFERENCES` with their errors are optional.

    Returns
    -------
    list of RealGalaxy

    Raises
    ------
    CatalogueError
        If it is no table, is empty, lacks a column or has it twice, or two rows have the same id.
    """
    try:
        table = Table.read(file, format="ascii.csv") if file.suffix == ".csv" else Table.read(file)
    except Exception as error:  # each of astropy's readers has errors of its own
        raise CatalogueError(f"{file} cannot be read as a table: {error}") from error
    _name_columns(table, file)
    if not {"id", "files"} <= set(table.colnames):
        raise CatalogueError(f"{file} needs the columns id and files; it has {', '.join(table.colnames)}.")
    if not len(table):
        raise CatalogueError(f"{file} has no rows: it needs one per galaxy.")
    galaxies = [_galaxy(row, file.parent) for row in table]
    first: dict[str, int] = {}
    for number, galaxy in enumerate(galaxies, start=1):
        if (other := first.setdefault(galaxy.id, number)) != number:
            raise CatalogueError(
                f"rows {other} and {number} of {file} have the same id {galaxy.id!r}: give each its own."
            )
    return galaxies


def _name_columns(table: Table, file: Path) -> None:
    """Give the columns that are known by their names in any case those names."""
    known = {"id", "files", "z", "z_err", "unit", *REFERENCES, *(f"{name}_err" for name in REFERENCES)}
    for name in list(table.colnames):
        if name.lower() in known and name != name.lower():
            if name.lower() in table.colnames:
                raise CatalogueError(f"{file} has two columns {name.lower()}, in different case: leave one out.")
            table.rename_column(name, name.lower())


def _galaxy(row: Row, folder: Path) -> RealGalaxy:
    references = {name: (_number(row, name), _number(row, f"{name}_err")) for name in REFERENCES}
    unit = _text(row, "unit")
    files = tuple(folder / name for name in _text(row, "files").split())
    # Without a column of errors redshifts are exact; in one, a blank says that the redshift is not to be used.
    z_err = _number(row, "z_err") if "z_err" in row.colnames else 0.0
    return RealGalaxy(_text(row, "id"), files, _number(row, "z"), z_err, references, unit or None)


def _text(row: Row, name: str) -> str:
    value: Any = row[name] if name in row.colnames else ""
    return "" if np.ma.is_masked(value) else str(value).strip()


def _number(row: Row, name: str) -> float:
    text = _text(row, name)
    try:
        return float(text) if text else np.nan
    except ValueError as error:
        raise CatalogueError(f"{name} of galaxy {_text(row, 'id')} is {text!r}, which is no number.") from error
