"""The model card: a small JSON in every SavedModel directory, from which the gateway learns how to use the model."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from redden.bands import BANDS
from redden.errors import ModelCardError
from redden.grid import PIXEL_SCALE, SIZE
from redden.normalise import NEEDS_FLUX_UNIT, NORMALISATIONS
from redden.photometric import PHOTOMETRIC

CARD_FILE = "model_card.json"
"""Name of the card inside ``NAME/VERSION/``; TensorFlow Serving ignores it."""

TargetName = Literal["a_v", "e_bv", "log_ssfr"]
"""What a network is trained on. R_V follows from A_V and E(B-V)."""

QuantityName = Literal["a_v", "e_bv", "r_v", "log_ssfr"]
"""What is answered."""

PROBABILITIES: Final = (0.025, 0.16, 0.5, 0.84, 0.975)
"""The 95 % interval, the 68 % interval and the median."""


class Target(BaseModel):
    """One quantity that a network answers, in the order of its output columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: TargetName
    """``a_v`` and ``e_bv`` in mag, ``log_ssfr`` as log10 of 1/yr."""
    transform: Literal["identity", "log"] = "identity"
    """The network's column is the quantity itself, or its natural logarithm."""


class Domain(BaseModel):
    """How a model tells that a cutout is not like the galaxies it was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: Annotated[float, Field(allow_inf_nan=False)]
    """Domain score above which a cutout is strange; 1 % of the held-out training galaxies are above."""


class ModelCard(BaseModel):
    """Facts about one version of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Name of the model, as in ``models/NAME/VERSION/``."""
    version: Annotated[int, Field(ge=1)]
    """Version of the model."""
    description: str
    """What the model is, in a sentence or two."""
    bands: Annotated[tuple[str, ...], Field(min_length=1)]
    """Bands in the order of the input's last axis."""
    size: int = SIZE
    """Side of the input in pixels."""
    pixel_scale: float = PIXEL_SCALE
    """Side of a pixel in arcsec."""
    normalisation: str
    """Name of a function in ``redden.normalise``."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    """Quantities in the order of the output's columns."""
    posterior: Literal["point", "gaussian", "mixture"]
    """Which outputs the SavedModel answers, see ``redden.signature``."""
    interval_scale: Annotated[dict[TargetName, float], Field(default_factory=dict)]
    """Factor on each target's standard deviation, found on validation galaxies, that makes the intervals hold."""
    levels: bool = False
    """Whether the SavedModel answers the levels at which quantiles must be taken to hold what they promise on held-out
    galaxies (conformal adjustment), see ``redden.signature``."""
    redshift_range: tuple[float, float] | None = None
    """Redshifts of the training galaxies, from and to; given if the model takes redshifts."""
    domain: Domain | None = None
    """Given if the SavedModel answers a domain score, see ``redden.domain``."""
    trained_on: dict[str, Any]
    """The data set: name, hash, number of galaxies and images, the forward model's settings, the split."""
    trained_with: dict[str, Any]
    """The fit: loss, optimiser, seed, epochs, version of the code; what levels come from."""
    figures_of_merit: dict[str, Any]
    """Errors, label spread, skill and coverage on test galaxies."""
    intended_use: str
    """What the model is for, and where it should not be used."""

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [band for band in bands if band not in BANDS]
        if unknown or len(set(bands)) != len(bands):
            raise ValueError(f"bands must be distinct and among {', '.join(BANDS)}")
        return bands

    @field_validator("normalisation")
    @classmethod
    def _known_normalisation(cls, name: str) -> str:
        known = (*NORMALISATIONS, PHOTOMETRIC)
        if name not in known:
            raise ValueError(f"unknown normalisation {name!r}; this version has {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _served_grid(self) -> Self:
        if (self.size, self.pixel_scale) != (SIZE, PIXEL_SCALE):
            raise ValueError(f"only inputs of {SIZE}x{SIZE} pixels of {PIXEL_SCALE} arcsec can be served")
        return self

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        transforms = {target.name: target.transform for target in self.targets}
        if set(transforms) != {"a_v", "e_bv", "log_ssfr"} or len(self.targets) != len(transforms):
            raise ValueError("targets must be a_v, e_bv and log_ssfr, each once")
        if self.posterior == "point" and self.levels:
            raise ValueError("levels are for models with a posterior; this one gives point estimates")
        if self.posterior != "point" and not transforms["a_v"] == transforms["e_bv"] == "log":
            raise ValueError(
                f"a {self.posterior} posterior needs a_v and e_bv as logarithms, so that R_V has a distribution"
            )
        return self

    @property
    def needs_flux_unit(self) -> bool:
        """Whether the bands are compared, so that each needs a usable unit."""
        return self.normalisation in NEEDS_FLUX_UNIT or self.normalisation == PHOTOMETRIC

    @property
    def takes_any_bands(self) -> bool:
        """Whether bands may be absent, as long as there is one."""
        return self.normalisation == PHOTOMETRIC

    @property
    def takes_redshift(self) -> bool:
        """Whether a redshift, if known, sharpens the answer."""
        return self.normalisation == PHOTOMETRIC

    def write(self, version_dir: Path) -> None:
        """Write the card into ``NAME/VERSION/``."""
        (version_dir / CARD_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, version_dir: Path) -> Self:
        """Read the card of a SavedModel directory ``NAME/VERSION/``.

        Raises
        ------
        ModelCardError
            If it is missing or malformed, or names a normalisation, band or grid that this version does not have.
        """
        path = version_dir / CARD_FILE
        try:
            card = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelCardError(f"{path} is missing: `redden-train export` writes it beside the SavedModel.") from None
        except ValidationError as error:
            raise ModelCardError(f"{path} cannot be used: {error}") from error
        if (card.name, str(card.version)) != (version_dir.parent.name, version_dir.name):
            raise ModelCardError(f"{path} is the card of {card.name}/{card.version}; move or export the model again.")
        return card
