"""The table of a set of radiative-transfer products: a row per galaxy, dust content and orientation."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redden.errors import CatalogueError

COLUMNS: Final = {
    "galaxy": "name or number of the galaxy",
    "z": "redshift",
    "log_mass or mass": "stellar mass in Msun, or its log10",
    "log_ssfr, ssfr or sfr": "star formation over the last 100 Myr: log10 of 1/yr, 1/yr, or Msun/yr",
    "dusty": "file of the galaxy with dust, or a pattern such as g1_*_total.fits; relative to the table",
}
"""Columns that are needed."""
OPTIONAL: Final = {
    "dust_free": "the same without dust, from which A_V and E(B-V) are computed",
    "a_v, e_bv": "A_V and E(B-V) in mag, used where the two products do not give them; blank where negative",
    "dtm": "dust-to-metal ratio, 0...1; a galaxy of 0 has no dust",
    "orientation": "number of the view; otherwise views of a galaxy and dtm are counted",
    "distance": "of the instrument in Mpc, for products in the rest frame; otherwise they are as seen from redshift z",
}
"""Columns that may be there."""
LOG_MASS: Final = (4.0, 13.0)
"""Stellar masses that a galaxy may have: what lies beyond is in another unit, or a mark of what is not known."""
LOG_SSFR: Final = (-16.0, -6.0)
"""The same of log sSFR in 1/yr."""
R_V: Final = (0.5, 50.0)
"""The same of A_V over E(B-V), which are easily mistaken for each other."""


@dataclass(frozen=True, slots=True)
class Row:
    """One product, or pair of products, and what is known of the galaxy."""

    number: int
    """Row in the table, from 1, for messages."""
    galaxy: str
    orientation: int
    z: float
    log_mass: float
    log_ssfr: float
    dtm: float
    """NaN where unknown."""
    a_v: float
    """NaN where unknown, as E(B-V)."""
    e_bv: float
    distance: float | None
    """In Mpc, of products in the rest frame."""
    dusty: tuple[Path, ...]
    dust_free: tuple[Path, ...]
    """Empty where there is none."""


def read_rows(file: Path) -> list[Row]:
    """Read the table.

    Parameters
    ----------
    file : Path
        CSV, ECSV, FITS or VOTable.

    Returns
    -------
    list of Row
        With rows of one galaxy together, galaxies in the order of their first rows.

    Raises
    ------
    CatalogueError
        If the table cannot be read, lacks a column or a value, has one that cannot be, or names a file that does not
        exist.
    """
    try:
        table = Table.read(file)
    except Exception as error:  # astropy raises nearly any exception on files that are no tables
        raise CatalogueError(f"{file} cannot be read as a table: {error}. Give CSV, ECSV, FITS or VOTable.") from error
    table.rename_columns(table.colnames, [name.lower() for name in table.colnames])
    if not len(table):
        raise CatalogueError(f"{file} has no rows.")
    for needed, meaning in COLUMNS.items():
        if not any(name in table.colnames for name in needed.replace(" or ", ", ").split(", ")):
            raise CatalogueError(f"{file} has no column {needed} ({meaning}); it has {', '.join(table.colnames)}.")
    views: dict[tuple[str, float], Iterator[int]] = {}
    rows = [_row(_Values(values, number, file), views) for number, values in enumerate(table, start=1)]
    first = {row.galaxy: row.number for row in reversed(rows)}
    return sorted(rows, key=lambda row: (first[row.galaxy], row.number))


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of one row."""

    values: Any
    number: int
    file: Path

    def text(self, name: str) -> str:
        """Empty where there is none."""
        value = self.values[name] if name in self.values.colnames else ""
        return "" if value is np.ma.masked else (value.decode() if isinstance(value, bytes) else str(value)).strip()

    def float(self, name: str) -> float:
        """NaN where there is none."""
        text = self.text(name)
        try:
            return float(text or "nan")
        except ValueError:
            raise self.error(f"{name} is {text!r}, which is no number.") from None

    def error(self, what: str) -> CatalogueError:
        return CatalogueError(f"row {self.number} of {self.file.name}: {what}")

    def files(self, name: str) -> tuple[Path, ...]:
        """The files that a pattern matches, in order of their names."""
        pattern = self.text(name)
        if not pattern:
            return ()
        folder, path = self.file.parent, Path(pattern)
        if path.is_absolute():
            folder, pattern = Path(path.anchor), str(path.relative_to(path.anchor))
        # A file's own name may have brackets, which a pattern would take for a choice.
        found = [folder / pattern] if (folder / pattern).is_file() else sorted(folder.glob(pattern))
        if not found:
            raise self.error(f"{name}: there is no file {folder / pattern}.")
        return tuple(found)


def _row(values: _Values, views: dict[tuple[str, float], Iterator[int]]) -> Row:
    galaxy, dtm = values.text("galaxy"), values.float("dtm")
    if not galaxy:
        raise values.error("galaxy is empty; name it.")
    if not np.isnan(dtm) and not 0 <= dtm <= 1:
        raise values.error(f"dtm is {dtm:g}; a dust-to-metal ratio is between 0 and 1.")
    z, distance = values.float("z"), values.float("distance")
    if not 0 < z < 20:
        raise values.error(f"z is {z:g}; a redshift between 0 and 20 is needed.")
    if not (np.isnan(distance) or 0 < distance < np.inf):
        raise values.error(f"distance is {distance:g} Mpc; it must be positive, or blank for products as seen from z.")
    orientation = values.float("orientation")
    if np.isnan(orientation):
        orientation = next(views.setdefault((galaxy, dtm if dtm == dtm else -1.0), count()))
    if orientation not in range(128):
        raise values.error(f"orientation is {orientation:g}; number the views from 0 to 127.")
    dusty = values.files("dusty")
    if not dusty:
        raise values.error("dusty is empty; name the file of the galaxy with dust.")
    log_mass, (a_v, e_bv) = _log_mass(values), _attenuation(values)
    return Row(
        number=values.number,
        galaxy=galaxy,
        orientation=int(orientation),
        z=z,
        log_mass=log_mass,
        log_ssfr=_log_ssfr(values, log_mass),
        dtm=dtm,
        a_v=a_v,
        e_bv=e_bv,
        distance=None if np.isnan(distance) else distance,
        dusty=dusty,
        dust_free=values.files("dust_free"),
    )


def _log_mass(values: _Values) -> float:
    log_mass = _log(values, "mass")
    if not LOG_MASS[0] <= log_mass <= LOG_MASS[1]:
        raise values.error(
            f"log_mass is {log_mass:g}; log10 of the mass in Msun is between {LOG_MASS[0]:g} and {LOG_MASS[1]:g}. In a "
            "column mass it is in Msun, such as 3e9."
        )
    return log_mass


def _log_ssfr(values: _Values, log_mass: float) -> float:
    from_sfr = "sfr" in values.values.colnames and not values.text("log_ssfr") and not values.text("ssfr")
    log_ssfr = _log(values, "sfr") - log_mass if from_sfr else _log(values, "ssfr")
    if not LOG_SSFR[0] <= log_ssfr <= LOG_SSFR[1]:
        raise values.error(
            f"log_ssfr is {log_ssfr:g}; log10 of 1/yr is between {LOG_SSFR[0]:g} and {LOG_SSFR[1]:g}."
            + (" It looks linear; name the column ssfr." if 0 < log_ssfr < 1e-5 else "")
            + (" It is that of sfr, in Msun/yr, over the mass." if from_sfr else "")
        )
    return log_ssfr


def _attenuation(values: _Values) -> tuple[float, float]:
    """A_V and E(B-V); NaN where blank or negative, since tables write -99 for what is not known."""
    a_v, e_bv = (np.nan if (value := values.float(name)) < 0 else value for name in ("a_v", "e_bv"))
    if e_bv > 0 and not R_V[0] <= a_v / e_bv <= R_V[1] and not np.isnan(a_v):
        raise values.error(
            f"a_v is {a_v:g} and e_bv is {e_bv:g}, so R_V is {a_v / e_bv:.3g}; dust has one between {R_V[0]:g} and "
            f"{R_V[1]:g}. Both are in mag; are the columns swapped?"
        )
    return a_v, e_bv


def _log(values: _Values, name: str) -> float:
    """log10 of a positive quantity that stands in the table as it is or as its log10."""
    log, linear = values.float(f"log_{name}"), values.float(name)
    if np.isnan(log) and linear > 0:
        log = float(np.log10(linear))
    if not np.isfinite(log):
        raise values.error(
            f"{name} is {'missing' if np.isnan(linear) else f'{linear:g}'}; a positive number is needed, or its log10 "
            f"in log_{name}."
        )
    return log
