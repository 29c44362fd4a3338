"""From a table of SKIRT products to a data set of noiseless scenes."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import track

from redden import __version__
from redden.bands import BANDS, in_order
from redden.errors import BadPixelsError, BandError, ReddenError
from redden.pixelgrid import SCALE_RANGE
from training import dataset
from training.imports.bands import LabelError, attenuation_labels, check_resolved, in_bands, labels
from training.imports.product import Place, Product, read_product
from training.imports.table import Row, read_rows
from training.simulate.instrument import FINE_SCALE
from training.simulate.run import View, expose
from training.simulate.scenes import APERTURE, NOISELESS, aperture_noise_at
from training.simulate.settings import Observation, Scenes, Settings

Array = NDArray[np.float64]

SOURCE: Final = f"SKIRT import, {NOISELESS}"


class SkirtImport(BaseModel):
    """What decides the content of an imported data set, besides the table and its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: tuple[str, ...] | None = None
    """NIRCam bands; by default all that the first product has or covers."""
    redshift: Annotated[float, Field(gt=0, lt=20)] | None = None
    """Redshift to which every galaxy is moved; by default each stays at its own."""
    unit: str | None = None
    pixel_scale: float | None = None
    planes: tuple[str, ...] | None = None
    """See `training.imports.product.read_product`, as the two before."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the offset of the galaxies from the middle."""


def import_skirt(table: Path, directory: Path, settings: SkirtImport) -> dataset.DatasetCard:
    """Read a table of products and write them as a data set of noiseless scenes.

    Parameters
    ----------
    table : Path
        See `training.imports.table`.
    directory : Path
        New or empty directory.
    settings : SkirtImport

    Raises
    ------
    CatalogueError
        If the table cannot be used.
    ReddenError
        If a product cannot be used; the message begins with its row.
    """
    rows = read_rows(table)
    bands = in_order(settings.bands or _bands_of(rows[0], settings))
    names = list(dict.fromkeys(row.galaxy for row in rows))
    return dataset.write(
        directory,
        _batches(rows, names, bands, settings),
        source=SOURCE,
        bands=bands,
        settings={**settings.model_dump(mode="json"), "bands": list(bands), "table": table.name, "galaxies": names},
        software=f"redden {__version__}",
    )


def scene(row: Row, bands: tuple[str, ...], settings: SkirtImport) -> dict[str, Any]:
    """One scene with its labels, as in ``training.dataset.COLUMNS`` but for the number of the galaxy."""
    dusty = _product(row, row.dusty, settings)
    place = Place.at(settings.redshift or row.z)
    flux, pixel = in_bands(dusty, bands, place)
    check_resolved(pixel, SCALE_RANGE[1], dusty.source)
    if not np.isfinite(flux).all() or flux[..., _reddest(bands)].sum() <= 0:
        raise BadPixelsError(f"{dusty.source} has pixels that are not finite, or no light in {bands[_reddest(bands)]}.")
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(row.number,)))
    observation = Observation(bands=bands)
    images = expose(Settings(observation=observation), _points(flux.shape[:2], pixel), _shared_out(flux, pixel), rng)
    return {
        "images": images,
        "orientation": row.orientation,
        "dtm": row.dtm,
        "z": place.redshift,
        "log_mass": row.log_mass,
        "log_ssfr": row.log_ssfr,
        "snr": expected_snr(images),
        **_labels(row, dusty, settings),
    }


def expected_snr(images: Array) -> Array:
    """Signal-to-noise ratio of a noiseless image in each band at the depth at which scenes are selected."""
    observation = Scenes().observation
    depth, correlation = np.array(observation.depth[0]), np.array(observation.noise_correlation[0])
    return np.asarray(images[APERTURE].sum(axis=0) / aperture_noise_at(depth, correlation))


def _batches(
    rows: list[Row], names: list[str], bands: tuple[str, ...], settings: SkirtImport
) -> Iterator[dataset.Batch]:
    """The scenes of one galaxy after the other."""
    groups = groupby(rows, key=lambda row: row.galaxy)
    for name, views in track(groups, "Importing galaxies", total=len(names)):
        found = []
        for row in views:
            try:
                found.append({"galaxy": names.index(name), **scene(row, bands, settings)})
            except ReddenError as error:
                raise type(error)(f"row {row.number} (galaxy {name}): {error}") from error
        yield 1, 0, {column: np.array([each[column] for each in found]) for column in dataset.COLUMNS}


def _product(row: Row, files: tuple[Path, ...], settings: SkirtImport) -> Product:
    place = Place.at(row.z) if row.distance is None else Place.rest_frame(row.distance)
    return read_product(files, place, unit=settings.unit, pixel_scale=settings.pixel_scale, planes=settings.planes)


def _bands_of(row: Row, settings: SkirtImport) -> list[str]:
    """The bands that redden measures and a product has or covers, from the redshift at which it is to be seen."""
    product, place = _product(row, row.dusty, settings), Place.at(settings.redshift or row.z)
    found, reason = [], ""
    for band in BANDS:
        try:
            in_bands(product, (band,), place)
            found.append(band)
        except BandError as error:
            reason = str(error)
    if not found:
        raise BandError(f"row {row.number} (galaxy {row.galaxy}) has no band of {', '.join(BANDS)}: {reason}")
    return found


def _labels(row: Row, dusty: Product, settings: SkirtImport) -> dict[str, float]:
    """A_V, E(B-V) and R_V: of the products with and without dust, else of the table; 0 without dust."""
    if row.dtm == 0:
        return attenuation_labels(0.0, 0.0)
    why = "there is no product without dust (dust_free)"
    if row.dust_free:
        try:
            return labels(dusty, _product(row, row.dust_free, settings))
        except LabelError as error:
            why = str(error)
    if np.isnan(row.a_v) or np.isnan(row.e_bv):
        raise LabelError(f"A_V and E(B-V) cannot be computed: {why} Give them in the columns a_v and e_bv.")
    return attenuation_labels(row.a_v, row.e_bv)


def _reddest(bands: tuple[str, ...]) -> int:
    return max(range(len(bands)), key=lambda number: BANDS[bands[number]].pivot)


def _parts(pixel: Array) -> tuple[int, int]:
    """Into how many points a pixel is divided along x and y, so that they are no farther than the fine pixels."""
    x, y = (int(np.ceil(side / FINE_SCALE)) for side in pixel)
    return x, y


def _points(shape: tuple[int, ...], pixel: Array) -> View:
    """Positions of the points that stand for the pixels of an image, from its middle; the last axis is along x."""
    along_x, along_y = _parts(pixel)
    x = (np.arange(shape[1] * along_x) - (shape[1] * along_x - 1) / 2) * pixel[0] / along_x
    y = (np.arange(shape[0] * along_y) - (shape[0] * along_y - 1) / 2) * pixel[1] / along_y
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    return View(grid_x.ravel(), grid_y.ravel(), np.empty(0))


def _shared_out(flux: Array, pixel: Array) -> Array:
    """Flux of the points of `_points`, shape (points, bands)."""
    along_x, along_y = _parts(pixel)
    fine = flux.repeat(along_y, axis=0).repeat(along_x, axis=1) / (along_x * along_y)
    return np.asarray(fine.reshape(-1, flux.shape[-1]))
