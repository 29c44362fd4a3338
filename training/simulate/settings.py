"""Every choice of the forward model in one frozen object, which goes into the data-set card.

Ranges (low, high) are drawn from uniformly unless said otherwise; scatters are standard deviations; dex is log10.
M is the stellar mass and logM its log10 in Msun.
"""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationInfo, model_validator

from redden.bands import BANDS
from training.simulate.ssp import Curve, Library

Pair = TypeVar("Pair", tuple[float, float], tuple[int, int])


def _rising(ends: Pair, info: ValidationInfo) -> Pair:
    if ends[0] > ends[1]:
        raise ValueError(f"the first {info.field_name} must not be above the second")
    return ends


Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_rising)]
WholeRange = Annotated[tuple[int, int], AfterValidator(_rising)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Population(_Frozen):
    """Which galaxies there are and how they formed their stars."""

    redshifts: Literal["continuous", "steps", "snapshots"] = "continuous"
    """Uniform in `redshift_range`, the same in steps of 0.02, or the paper's TNG50 snapshots with their shares."""
    redshift_range: Range = (6.0, 8.5)
    log_mass_range: Range = (8.0, 10.7)
    mass_slope: float = -0.40
    """Slope of dn/dlogM ~ M^slope."""
    log_ssfr: float = -8.22
    """Mean log10 sSFR [1/yr] at logM = 9, z = 7."""
    log_ssfr_per_log_mass: float = -0.03
    log_ssfr_per_redshift: float = 0.08
    log_ssfr_scatter: float = 0.16
    burst_scatter: float = 0.22
    """Scatter in dex of the Ornstein-Uhlenbeck process on the star-formation history."""
    burst_time: float = 25.0
    """Its correlation time in Myr."""
    star_particles: Annotated[int, Field(ge=1)] = 3000


class Gas(_Frozen):
    """How much gas there is and how metal-rich; `d` is the deviation of log sSFR from its mean."""

    log_metallicity: float = -0.60
    """Mean log10 Z/Zsun at logM = 9, z = 7."""
    log_metallicity_per_log_mass: float = 0.34
    log_metallicity_per_redshift: float = -0.05
    log_metallicity_per_d: float = -0.25
    log_metallicity_scatter: float = 0.12
    cell_scatter: float = 0.12
    """Scatter in dex of Z between the gas cells of a galaxy."""
    gradient: float = -0.06
    """Radial gradient of log Z in dex/kpc."""
    log_gas_to_stars: float = 0.0
    """Mean log10 Mgas/M at logM = 9."""
    log_gas_to_stars_per_log_mass: float = -0.36
    log_gas_to_stars_per_d: float = 0.35
    log_gas_to_stars_scatter: float = 0.20
    cells: Annotated[int, Field(ge=1)] = 2000


class Geometry(_Frozen):
    """Discs, clouds, and the stars and gas in them."""

    effective_radius: float = 0.62
    """Mean half-light radius in kpc at logM = 9, z = 7."""
    effective_radius_per_log_mass: float = 0.10
    effective_radius_per_log_redshift: float = -0.7
    """Exponent of (1 + z)."""
    effective_radius_scatter: float = 0.18
    discs: WholeRange = (1, 3)
    """Fewest and most discs of a galaxy."""
    disc_height: Range = (0.15, 0.45)
    """Scale height over scale length."""
    disc_offset: Range = (1.2, 3.5)
    """Distance of the lesser discs from the first, in effective radii."""
    gas_disc_width: float = 1.5
    """Scale length of the diffuse gas over that of the stars."""
    clouds: WholeRange = (8, 44)
    """Fewest and most clouds."""
    cloud_mass_slope: float = 0.9
    """Exponent a of the Pareto law p(>m) ~ m^-a of cloud masses."""
    cloud_radius: float = 0.16
    """Radius in kpc of a cloud of mean mass in a galaxy of 0.65 kpc."""
    gas_in_clouds: float = 0.75
    gas_in_clouds_scatter: float = 0.12
    cleared: float = 0.35
    """Share of clouds whose stars have pushed the gas out."""
    clearing_radius: float = 1.3
    """Radius of the cavity in cloud radii."""
    stars_in_clouds: Range = (0.5, 0.95)
    """Share of newborn stars that are in clouds."""
    dispersal_time: Range = (25.0, 70.0)
    """Time in Myr over which stars leave their clouds."""


class Spectra(_Frozen):
    """Which stars shine through which dust."""

    library: Library = "popstar"
    """Simple stellar populations, see `training.simulate.ssp`."""
    curve: Curve = "MW"
    """Extinction curve of the dust in front of each star."""
    line_scatter: float = 0.0
    """Scatter in dex of each metal line's ratio to the hydrogen lines, and of all lines together."""


class Observation(_Frozen):
    """How the sky is looked at."""

    bands: Annotated[tuple[str, ...], Field(min_length=1)] = ("F277W", "F356W", "F444W")
    depth: Range = (28.6, 28.6)
    """5 sigma AB magnitude in a circle of 0.1 arcsec radius, the same in all bands of a galaxy; 28.6 is CEERS."""
    noise_correlation: Annotated[Range, Field(description="0...1")] = (0.63, 0.76)
    """Correlation of the noise of neighbouring pixels, as measured in real mosaics."""
    centring: float = 0.5
    """Greatest offset in pixels, along x and y, of the reddest band's centroid from the cutout's centre."""
    min_snr: float = 5.0
    """Least signal-to-noise ratio in every band."""
    keep_noise: bool = True
    """Whether the noise stays in the images; without it, the very same images are chosen, by how they look with it."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        unknown = [band for band in self.bands if band not in BANDS]
        if unknown or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands must be distinct and among {', '.join(BANDS)}")
        if not 0 <= self.noise_correlation[0] <= self.noise_correlation[1] < 0.95:
            raise ValueError("noise_correlation must be a range within 0...0.95")
        return self


class Sampling(_Frozen):
    """Which images are made of one galaxy."""

    orientations: Annotated[int, Field(ge=1, le=4)] = 1
    """How many of the views along x, y, z and (1, 1, 1)."""
    dtm: tuple[float, ...] = tuple(step / 10 for step in range(1, 11))
    """Dust-to-metal ratios."""
    dtm_draws: Annotated[int, Field(ge=1)] = 2
    """How many of them, drawn without replacement for each orientation."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if not all(0 <= value <= 1 for value in self.dtm):
            raise ValueError("dust-to-metal ratios are between 0 and 1")
        if self.dtm_draws > len(self.dtm):
            raise ValueError("more draws than dust-to-metal ratios")
        return self


SAMPLINGS = {
    "varied": Sampling(),
    "paper": Sampling(orientations=4, dtm=tuple(step / 10 for step in range(11)), dtm_draws=11),
}
"""By name: many galaxies with few images each, or the paper's grid of 4 orientations and 11 dust-to-metal ratios."""


class Variety(_Frozen):
    """What differs from scene to scene because nobody knows it: ranges and choices, drawn for each galaxy."""

    library: tuple[Library, ...] = ("popstar", "bc03")
    curve: tuple[Curve, ...] = ("MW", "SMC", "LMC")
    line_scatter: float = 0.15
    """See `Spectra.line_scatter`."""
    log_gas_to_stars: Range = (-0.3, 0.1)
    """At logM = 9."""
    effective_radius: Range = (0.45, 0.75)
    gas_in_clouds: Range = (0.5, 0.9)
    cloud_radius: Range = (0.10, 0.20)
    cleared: Range = (0.2, 0.5)
    dtm: Range = (0.05, 1.0)
    """Dust-to-metal ratio, drawn for each view."""


class Scenes(_Frozen):
    """Everything that decides the content of a data set of noiseless scenes."""

    seed: Annotated[int, Field(ge=0)] = 0
    galaxies: Annotated[int, Field(ge=1)] = 1000
    population: Population = Population(redshifts="steps", redshift_range=(5.5, 9.0))
    gas: Gas = Gas()
    geometry: Geometry = Geometry()
    variety: Variety = Variety()
    observation: Observation = Observation(
        bands=tuple(BANDS), depth=(29.8, 29.8), noise_correlation=(0.5, 0.5), min_snr=3.0
    )
    """Bands, centring, and how faint a scene may be in the bands of `selected_in`; no noise is added."""
    selected_in: tuple[str, ...] = ("F277W", "F356W", "F444W")
    """Bands in which the expected signal-to-noise ratio must reach ``observation.min_snr``."""
    views: Annotated[int, Field(ge=1)] = 2
    """Views of each galaxy, from random sides and with random dust-to-metal ratios."""


class Settings(_Frozen):
    """Everything that decides the content of a simulated data set, besides the version of the software."""

    seed: Annotated[int, Field(ge=0)] = 0
    galaxies: Annotated[int, Field(ge=1)] = 1000
    population: Population = Population()
    gas: Gas = Gas()
    geometry: Geometry = Geometry()
    spectra: Spectra = Spectra()
    observation: Observation = Observation()
    sampling: Sampling = Sampling()
