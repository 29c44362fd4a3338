"""From a table of SKIRT products to a data set of noiseless scenes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rich.progress import track

from redden.bands import BANDS, in_order
from redden.errors import BadPixelsError, BandError, ReddenError, UnitError
from redden.grid import PIXEL_SCALE, SIZE
from redden.pixelgrid import SCALE_RANGE
from training import dataset
from training.imports.bands import LabelError, attenuation_labels, check_resolved, in_bands, labels
from training.imports.product import Place, Product, read_product
from training.imports.table import Row, read_rows
from training.simulate.instrument import AB_NANOJANSKY, FINE_SCALE, PSF_SIZE, image
from training.simulate.scenes import APERTURE, NOISELESS, aperture_noise_at
from training.simulate.settings import Observation, Scenes
from training.software import CODE_VERSION

Array = NDArray[np.float64]

SOURCE: Final = f"SKIRT import, {NOISELESS}"
_REACH: Final = SIZE * PIXEL_SCALE / 2 + PSF_SIZE * FINE_SCALE
"""Distance in arcsec from the centroid beyond which no light reaches an image, with room for its offset."""


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


def import_skirt(
    table: Path, directory: Path, settings: SkirtImport, report: Callable[[str], object] = print
) -> dataset.DatasetCard:
    """Read a table of products and write them as a data set of noiseless scenes.

    Parameters
    ----------
    table : Path
        See `training.imports.table`.
    directory : Path
        New or empty directory.
    settings : SkirtImport
    report : callable
        Takes a line if bands of the first product are left aside, and a warning if the unit of `settings` contradicts
        its header.

    Raises
    ------
    CatalogueError
        If the table cannot be used.
    ReddenError
        If a product cannot be used; the message begins with its row.
    """
    rows = read_rows(table)
    with _about(rows[0]):
        bands = in_order(settings.bands or _bands_of(rows[0], settings))
        left_aside = () if settings.bands else _product(rows[0], rows[0].dusty, settings).left_aside
        warning = contradiction(rows[0], bands, settings) if settings.unit else None
    if left_aside:
        report(f"Left aside, since their transmission is not known: {', '.join(left_aside)}.")
    if warning:
        report(warning)
    names = list(dict.fromkeys(row.galaxy for row in rows))
    return dataset.write(
        directory,
        _batches(rows, names, bands, settings),
        source=SOURCE,
        bands=bands,
        settings={**settings.model_dump(mode="json"), "bands": list(bands), "table": table.name, "galaxies": names},
        software=f"redden {CODE_VERSION}",
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
    images = through_telescope(flux, pixel, bands, rng)
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


def through_telescope(flux: Array, pixel: Array, bands: tuple[str, ...], rng: np.random.Generator) -> Array:
    """Noiseless image of 32x32 pixels, centred as those of the built-in forward model.

    Every pixel near enough is shared out over points that are no farther apart than the telescope's fine pixels.

    Parameters
    ----------
    flux : ndarray, shape (ny, nx, bands)
        In nJy per pixel.
    pixel : ndarray, shape (2,)
        Sides of a pixel in arcsec, along x and y.
    bands : tuple of str
    rng : Generator
        Draws the offset of the centroid from the middle.

    Returns
    -------
    ndarray, shape (32, 32, bands)
        In nJy per pixel.
    """
    light = flux[..., _reddest(bands)]
    (near_x, x), (near_y, y) = (_points(light.sum(axis=axis), side) for axis, side in enumerate(pixel))
    along_x, along_y = (int(np.ceil(side / FINE_SCALE)) for side in pixel)
    near = flux[np.ix_(near_y, near_x)] / (along_x * along_y)
    points = near.repeat(along_y, axis=0).repeat(along_x, axis=1).reshape(-1, len(bands))
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    offset = rng.uniform(-1, 1, 2) * Observation().centring * PIXEL_SCALE
    return image(grid_x.ravel() + offset[0], grid_y.ravel() + offset[1], points, bands)


def contradiction(row: Row, bands: tuple[str, ...], settings: SkirtImport) -> str | None:
    """What follows from a stated unit that is not that of the header; None if the header says the same, or nothing."""
    product = _product(row, row.dusty, settings)
    if not product.header_unit:
        return None
    with suppress(UnitError):  # what cannot be read is not the same either
        told = _product(row, row.dusty, settings.model_copy(update={"unit": None}))
        if np.allclose(told.nanojansky, product.nanojansky, rtol=1e-3):
            return None
    flux = in_bands(product, bands, Place.at(settings.redshift or row.z))[0].sum(axis=(0, 1))
    brightest = int(flux.argmax())
    seen = f"{AB_NANOJANSKY - 2.5 * np.log10(flux[brightest]):.2f} AB" if flux[brightest] > 0 else "without light"
    return (
        f"Warning: the unit is stated to be {settings.unit}, but BUNIT of {product.source} is {product.header_unit}. "
        f"With {settings.unit}, galaxy {row.galaxy} is {seen} in {bands[brightest]}, its brightest band."
    )


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
            with _about(row):
                found.append({"galaxy": names.index(name), **scene(row, bands, settings)})
        yield 1, 0, {column: np.array([each[column] for each in found]) for column in dataset.COLUMNS}


@contextmanager
def _about(row: Row) -> Iterator[None]:
    """Begin the message of an error with the row."""
    try:
        yield
    except ReddenError as error:
        raise type(error)(f"row {row.number} (galaxy {row.galaxy}): {error}") from error


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
        raise BandError(f"there is no band of {', '.join(BANDS)}: {reason}")
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


def _points(light: Array, pixel: float) -> tuple[NDArray[np.bool_], Array]:
    """Which pixels along an axis can reach the image, and where their points are.

    Parameters
    ----------
    light : ndarray, shape (pixels,)
        Decides where the centroid is.
    pixel : float
        Side of a pixel in arcsec.

    Returns
    -------
    near : ndarray of bool, shape (pixels,)
    position : ndarray, shape (points,)
        In arcsec from the centroid; equally many points for each near pixel.
    """
    middle = (np.arange(len(light)) - (len(light) - 1) / 2) * pixel
    middle -= np.average(middle, weights=light)
    near = np.abs(middle) <= _REACH + pixel
    parts = int(np.ceil(pixel / FINE_SCALE))
    within = (np.arange(parts) - (parts - 1) / 2) * pixel / parts
    return near, np.add.outer(middle[near], within).ravel()
