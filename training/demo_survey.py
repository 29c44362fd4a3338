"""A survey of a mock sky: one mosaic per band, the catalogue of what is in it, and the survey's definition.

Galaxies are those that training images show, bright enough in every band, and none lies in front of another.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, Self

import numpy as np
from astropy.io import fits
from astropy.table import Column, Table
from astropy.wcs import WCS
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from rich.progress import track

from redden import __version__
from redden.bands import BANDS
from redden.errors import ReddenError
from redden.grid import PIXEL_AREA_SR, PIXEL_SCALE, SIZE
from redden.snr import aperture_snr
from training.simulate.dust_screen import VIEWS
from training.simulate.instrument import AB_NANOJANSKY, FINE_SCALE, Sky, image, noise, psf
from training.simulate.run import attenuate, draw_mock, look
from training.simulate.settings import Observation
from training.simulate.settings import Settings as SimulationSettings

Array = NDArray[np.float64]

STAMP: Final = 96
"""Side in pixels of the image of one galaxy, which holds all of its light."""
TILE: Final = 128
"""Side in pixels of the tiles in which mosaics are compressed: the least that is read of them."""
QUANTISATION: Final = 0.5
"""Step in which compressed pixels are stored, in standard deviations of their noise."""
MEGAJANSKY_PER_SR: Final = 1e-15 / PIXEL_AREA_SR
"""MJy/sr of 1 nJy per pixel."""
CATALOGUE_FILE: Final = "catalogue.ecsv"


class MockSurveyError(ReddenError):
    """A mock survey cannot be made as it is asked for."""


class MockSurvey(BaseModel):
    """What decides the content of a mock survey, besides the version of the software."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] = "demo"
    seed: Annotated[int, Field(ge=0)] = 0
    side: Annotated[int, Field(ge=STAMP)] = 3072
    """Side of the mosaics in pixels of 0.03 arcsec."""
    galaxies: Annotated[int, Field(ge=1)] = 300
    ra: Annotated[float, Field(ge=0, lt=360)] = 30.0
    """Right ascension of the centre in degrees."""
    dec: Annotated[float, Field(ge=-90, le=90)] = 12.0
    """Declination of the centre in degrees."""
    depth: float = 29.2
    """5 sigma AB magnitude in a circle of 0.1 arcsec radius, in every band."""
    noise_correlation: Annotated[float, Field(ge=0, lt=0.95)] = 0.70
    """Correlation of the noise of neighbouring pixels."""

    @model_validator(mode="after")
    def _spacious(self) -> Self:
        if self.side // self._cells < STAMP:
            raise ValueError(
                f"{self.galaxies} galaxies need at least {self._cells * STAMP} pixels a side to lie apart; "
                f"{self.side} are too few"
            )
        return self

    @property
    def _cells(self) -> int:
        """Cells along a side, of which each holds one galaxy at most."""
        return int(np.ceil(np.sqrt(self.galaxies)))

    @property
    def simulation(self) -> SimulationSettings:
        """The forward model's settings: its population, seen at the depth of this survey."""
        observation = Observation(
            depth=(self.depth, self.depth), noise_correlation=(self.noise_correlation, self.noise_correlation)
        )
        return SimulationSettings(seed=self.seed, galaxies=self.galaxies, observation=observation)


@dataclass(frozen=True, slots=True)
class Source:
    """A galaxy of the catalogue; its place in pixels from 0, that of the centroid in the reddest band."""

    x: float
    y: float
    z: float
    log_mass: float
    log_ssfr: float
    a_v: float
    e_bv: float
    r_v: float
    dtm: float
    flux: tuple[float, ...]
    """Total flux in nJy by band."""
    snr: tuple[float, ...]
    """As measured in the mosaics, by band."""


def make_survey(survey: MockSurvey, directory: Path) -> Table:
    """Simulate a survey and write it: ``NAME_f277w.fits`` and the like, ``catalogue.ecsv``, and ``NAME.toml``.

    Parameters
    ----------
    survey : MockSurvey
        What is asked for; equal surveys are equal files.
    directory : Path
        New or empty directory.

    Returns
    -------
    Table
        The catalogue.

    Raises
    ------
    MockSurveyError
        If the directory holds something already.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise MockSurveyError(f"{directory} is not empty: name a new directory.")
    bands = survey.simulation.observation.bands
    rng = np.random.default_rng(survey.seed)
    aperture_rms = 10 ** ((AB_NANOJANSKY - survey.depth) / 2.5) / 5
    sky = Sky(aperture_rms, survey.noise_correlation)
    layers = [noise(sky, 1, rng, survey.side)[..., 0].astype(np.float32) for _ in bands]
    pixel_rms = float(np.mean([layer.std() for layer in layers]))
    mosaics = np.stack(layers)
    sources = list(track(_fill(survey, mosaics, rng), "Simulating", total=survey.galaxies))

    wcs = _wcs(survey)
    for band, mosaic in zip(bands, mosaics, strict=True):
        _write_mosaic(directory / _mosaic_file(survey, band), survey, band, mosaic, pixel_rms, wcs)
    catalogue = _catalogue(survey, sources, wcs)
    catalogue.write(directory / CATALOGUE_FILE, format="ascii.ecsv")
    (directory / f"{survey.name}.toml").write_text(_definition(survey), encoding="utf-8")
    return catalogue


def _fill(survey: MockSurvey, mosaics: NDArray[np.float32], rng: np.random.Generator) -> Iterator[Source]:
    """Add galaxies to mosaics of noise, each in a cell of its own, until there are enough of them.

    Parameters
    ----------
    mosaics : ndarray of float32, shape (bands, side, side)
        In nJy per pixel; changed in place.
    """
    simulation = survey.simulation
    bands, least_snr = simulation.observation.bands, simulation.observation.min_snr
    reddest = bands.index(max(bands, key=lambda band: BANDS[band].pivot))
    middle = slice((STAMP - SIZE) // 2, (STAMP + SIZE) // 2)
    for cell in rng.permutation(survey._cells**2)[: survey.galaxies]:
        while True:
            mock = draw_mock(simulation, rng)
            view = look(mock, VIEWS[0])
            dtm = float(rng.choice(simulation.sampling.dtm))
            flux, labels = attenuate(mock.light, dtm * view.tau_v)
            row, column = _place(survey, int(cell), rng)
            offset_x, offset_y = rng.uniform(-0.5, 0.5, 2)
            x = view.x - np.average(view.x, weights=flux[:, reddest]) + offset_x * PIXEL_SCALE
            y = view.y - np.average(view.y, weights=flux[:, reddest]) + offset_y * PIXEL_SCALE
            window = mosaics[:, row : row + STAMP, column : column + STAMP]
            seen = window + np.moveaxis(image(x, y, flux, bands, STAMP), -1, 0)
            snr = aperture_snr(np.moveaxis(seen[:, middle, middle], 0, -1))
            if snr.min() >= least_snr:
                break
        window[:] = seen
        yield Source(
            x=column + (STAMP - 1) / 2 + offset_x,
            y=row + (STAMP - 1) / 2 + offset_y,
            z=mock.galaxy.z,
            log_mass=mock.galaxy.log_mass,
            log_ssfr=mock.galaxy.log_ssfr,
            dtm=dtm,
            flux=tuple(flux.sum(axis=0)),
            snr=tuple(snr),
            **labels,
        )


def _place(survey: MockSurvey, cell: int, rng: np.random.Generator) -> tuple[int, int]:
    """First row and column of a stamp somewhere within a cell."""
    width = survey.side // survey._cells
    row, column = (int(part) * width for part in divmod(cell, survey._cells))
    down, right = rng.integers(width - STAMP, size=2, endpoint=True)
    return row + int(down), column + int(right)


def _wcs(survey: MockSurvey) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [survey.ra, survey.dec]
    wcs.wcs.crpix = [(survey.side + 1) / 2] * 2
    wcs.wcs.cdelt = [-PIXEL_SCALE / 3600, PIXEL_SCALE / 3600]
    wcs.wcs.radesys = "ICRS"
    return wcs


def _write_mosaic(
    path: Path, survey: MockSurvey, band: str, mosaic: NDArray[np.float32], pixel_rms: float, wcs: WCS
) -> None:
    """Write one mosaic in MJy/sr, as JWST mosaics are, tile-compressed."""
    header = wcs.to_header()
    header["FILTER"] = (band, "NIRCam filter")
    header["BUNIT"] = "MJy/sr"
    header["PIXAR_SR"] = (PIXEL_AREA_SR, "[sr] solid angle of a pixel")
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = (survey.name, "mock survey, simulated and not observed")
    primary.header["SEED"] = survey.seed
    primary.header["ORIGIN"] = f"redden {__version__}"
    science = fits.CompImageHDU(
        mosaic * np.float32(MEGAJANSKY_PER_SR),
        header,
        name="SCI",
        compression_type="RICE_1",
        tile_shape=(min(TILE, survey.side),) * 2,
        # A negative level is the step itself; dithering keeps fluxes unbiased.
        quantize_level=-QUANTISATION * pixel_rms * MEGAJANSKY_PER_SR,
        quantize_method=fits.hdu.compressed.SUBTRACTIVE_DITHER_1,
        dither_seed=survey.seed % 10000 + 1,
    )
    fits.HDUList([primary, science]).writeto(path)


def _catalogue(survey: MockSurvey, sources: list[Source], wcs: WCS) -> Table:
    """The galaxies with their positions and true quantities, each column with its unit and UCD."""
    bands = survey.simulation.observation.bands
    rows = {name: np.array([asdict(source)[name] for source in sources]) for name in Source.__dataclass_fields__}
    ra, dec = wcs.all_pix2world(rows["x"], rows["y"], 0)
    table = Table(
        meta={"name": survey.name, "description": "True quantities of simulated galaxies", **_made_by(survey)}
    )
    table["id"] = Column(np.arange(1, len(sources) + 1), meta={"ucd": "meta.id;meta.main"})

    def add(name: str, values: Array, decimals: int, unit: str | None, ucd: str, description: str) -> None:
        table[name] = Column(np.round(values, decimals), unit=unit, description=description, meta={"ucd": ucd})

    add("ra", ra, 7, "deg", "pos.eq.ra;meta.main", "Right ascension (ICRS)")
    add("dec", dec, 7, "deg", "pos.eq.dec;meta.main", "Declination (ICRS)")
    add("z", rows["z"], 4, None, "src.redshift", "Redshift")
    add("a_v", rows["a_v"], 4, "mag", "phys.absorption;em.opt.V", "Attenuation in rest-frame V")
    add("e_bv", rows["e_bv"], 4, "mag", "phot.color.excess", "E(B-V) = A_B - A_V")
    add("r_v", rows["r_v"], 3, None, "phys.absorption;arith.ratio", "R_V = A_V / E(B-V)")
    add("log_ssfr", rows["log_ssfr"], 4, None, "phys.SFR;arith.ratio", "log10 of the sSFR over 100 Myr in 1/yr")
    add("log_mass", rows["log_mass"], 4, None, "phys.mass", "log10 of the stellar mass in solar masses")
    add("dtm", rows["dtm"], 1, None, "phys.abund;arith.ratio", "Dust-to-metal ratio")
    for i, band in enumerate(bands):
        add(f"flux_{band.lower()}", rows["flux"][:, i], 3, "nJy", "phot.flux.density;em.IR", f"Total flux in {band}")
    for i, band in enumerate(bands):
        add(f"snr_{band.lower()}", rows["snr"][:, i], 2, None, "stat.snr;em.IR", f"S/N in 0.16 arcsec in {band}")
    return table


def _made_by(survey: MockSurvey) -> dict[str, str | float | int]:
    return {"software": f"redden {__version__}", **survey.model_dump(exclude={"name"})}


def _definition(survey: MockSurvey) -> str:
    """The survey file, for ``redden survey add``."""
    bands = survey.simulation.observation.bands
    head = f"""\
name = "{survey.name}"
title = "Mock survey {survey.name}"
description = "Simulated: {survey.galaxies} galaxies at z = 6-8.5 with known truth, as deep as {survey.depth} AB mag."
catalogue = "{CATALOGUE_FILE}"
"""
    tables = [
        f"""
[bands.{band}]
mosaics = ["{_mosaic_file(survey, band)}"]
psf_fwhm = {_psf_fwhm(band):.3f}
"""
        for band in bands
    ]
    return head + "".join(tables)


def _mosaic_file(survey: MockSurvey, band: str) -> str:
    return f"{survey.name}_{band.lower()}.fits"


def _psf_fwhm(band: str) -> float:
    """Diameter in arcsec of the circle that has the area above half of the peak."""
    profile = psf(band)
    return float(2 * np.sqrt((profile > profile.max() / 2).sum() / np.pi) * FINE_SCALE)
