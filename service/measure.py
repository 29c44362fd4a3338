"""The path of a cutout: files to pixels, pixels to model input, model outputs to the answer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Final, Self, TypeVar

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from astropy import units as u
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from redden import __version__
from redden.answer import Answer, ModelReference, Provenance, Quantities, Quantity
from redden.cutout import Cutout, model_input, read_cutout
from redden.errors import BandError, ReddenError, UnitError
from redden.fits import Upload
from redden.modelcard import ModelCard
from redden.modelinput import Inputs
from redden.posterior import UNITS, quantiles
from redden.recentre import MAX_RECENTRE_RADIUS, RECENTRE_RADIUS, Recentre
from service.angles import Declination, RightAscension, parse_position
from service.inference.batcher import Batcher
from service.inference.client import ModelServer, ModelServerTimeoutError
from service.registry import Registry

Result = TypeVar("Result")

READING_THREADS: Final = 2
"""Threads that read FITS; more would only fight the event loop for the interpreter."""


class ModelChoice(BaseModel):
    """Which model is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        str | None,
        Field(
            description="Name of the model; by default the service's default model. `GET /v1/models` lists them.",
            examples=["gaussian-3band"],
        ),
    ] = None
    version: Annotated[
        int | None, Field(ge=1, description="Version of the model; by default the newest.", examples=[1])
    ] = None


class Centring(BaseModel):
    """Whether a cutout is moved onto its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recentre: Annotated[
        Recentre | None,
        Field(
            description="Move the cutout onto the brightest pixel, or onto the centroid, of the source at the "
            "position; by default it stays where it was asked for.",
            examples=["centroid"],
        ),
    ] = None
    recentre_radius: Annotated[
        float,
        Field(
            gt=0,
            le=MAX_RECENTRE_RADIUS,
            description="How far in arcsec `recentre` may move the cutout.",
            examples=[RECENTRE_RADIUS],
        ),
    ] = RECENTRE_RADIUS


class Parameters(ModelChoice, Centring):
    """What a request may say about its files."""

    bands: Annotated[
        tuple[str, ...],
        Field(
            description="Band of each image in order, repeated or with commas; by default told from `FILTER`, "
            "`EXTNAME` or the file name.",
            examples=[["F277W", "F356W", "F444W"]],
        ),
    ] = ()
    unit: Annotated[
        str | None,
        Field(
            description="Unit of the pixels of all images, in place of what the headers say: `MJy/sr`, `nJy`, `uJy`, "
            "`10 nJy`, `Jy`.",
            examples=["uJy"],
        ),
    ] = None
    pixel_scale: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Side of a pixel in arcsec, for images whose headers do not tell it.",
            examples=[0.03],
        ),
    ] = None
    ra: RightAscension = None
    dec: Declination = None

    @field_validator("bands", mode="after")
    @classmethod
    def _split_at_commas(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.strip() for band in bands for name in band.split(",") if name.strip())

    @model_validator(mode="after")
    def _on_the_sky(self) -> Self:
        self._degrees()
        return self

    @property
    def position(self) -> SkyCoord | None:
        """The position to cut at; by default the centre of the image."""
        degrees = self._degrees()
        return None if degrees is None else SkyCoord(*degrees, unit=u.deg)

    def _degrees(self) -> tuple[float, float] | None:
        if self.ra is not None and self.dec is not None:
            return parse_position(self.ra, self.dec)
        if self.ra is not None or self.dec is not None:
            raise ValueError("ra and dec go together; give both or none")
        return None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measures galaxies with the models of a registry.

    Attributes
    ----------
    registry : Registry
        The models.
    model_server : ModelServer
        Where they run.
    deadline : float
        Seconds that a galaxy may wait for the model server.
    """

    registry: Registry
    model_server: ModelServer
    deadline: float
    _threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(READING_THREADS))
    _batchers: dict[tuple[str, int], Batcher] = field(default_factory=dict)

    async def measure(self, uploads: Sequence[Upload], parameters: Parameters) -> Answer:
        """Measure one galaxy in files.

        Raises
        ------
        ReddenError
            A subclass says what is wrong with the files, the parameters or the model server.
        """
        read = partial(
            read_cutout,
            uploads,
            bands=parameters.bands or None,
            unit=parameters.unit,
            pixel_scale=parameters.pixel_scale,
            position=parameters.position,
            recentre=parameters.recentre,
            recentre_radius=parameters.recentre_radius,
        )
        return await self.measure_cutout(read, parameters)

    async def measure_cutout(self, read: Callable[[], Cutout], choice: ModelChoice) -> Answer:
        """Measure one galaxy in a cutout.

        Parameters
        ----------
        read : callable
            Makes the cutout.
        choice : ModelChoice
            Which model is asked.

        Raises
        ------
        ReddenError
            A subclass says what is wrong with the cutout, the choice or the model server.
        """
        cutout, card, inputs = await self.in_thread(partial(self._prepare, read, choice))
        try:
            async with asyncio.timeout(self.deadline):
                outputs = await self._batcher(card).predict(inputs)
        except TimeoutError:
            raise ModelServerTimeoutError(
                f"the model server did not answer within {self.deadline:g} s; try again in a moment."
            ) from None
        return _answer(cutout, card, outputs)

    async def in_thread(self, read: Callable[[], Result]) -> Result:
        """Do work for the processor in a thread, so that other requests go on meanwhile."""
        return await run_sync(read, limiter=self._threads)

    def _prepare(self, read: Callable[[], Cutout], choice: ModelChoice) -> tuple[Cutout, ModelCard, Inputs]:
        card = self.registry.card(choice.model, choice.version)
        cutout = read()
        try:
            return cutout, card, model_input(cutout, card)
        except (BandError, UnitError) as error:
            if choice.model is not None:
                raise
            # Never another model without being asked: the user chooses.
            fitting = [_named(other) for other in self.registry.newest if _fits(cutout, other)]
            advice = f"These models take what was sent: {', '.join(fitting)}." if fitting else "No model takes it."
            raise type(error)(f"{error} {advice}") from error

    def _batcher(self, card: ModelCard) -> Batcher:
        key = (card.name, card.version)
        if key not in self._batchers:
            self._batchers[key] = Batcher(partial(self.model_server.predict, card.name, card.version))
        return self._batchers[key]


def _fits(cutout: Cutout, card: ModelCard) -> bool:
    try:
        model_input(cutout, card)
    except ReddenError:
        return False
    return True


def _named(card: ModelCard) -> str:
    """A model in an advice: who is told to change to another model should know what it does not give."""
    return f"model={card.name}" + (" (point estimates)" if card.posterior == "point" else "")


def _answer(cutout: Cutout, card: ModelCard, outputs: Mapping[str, NDArray[np.float32]]) -> Answer:
    quantities = {name: _quantity(values[0].tolist(), UNITS[name]) for name, values in quantiles(card, outputs).items()}
    return Answer(
        quantities=Quantities.model_validate(quantities),
        snr=cutout.snr,
        flags=list(cutout.flags),
        model=ModelReference(name=card.name, version=card.version),
        provenance=Provenance(
            input_sha256=cutout.sha256, pixels=list(cutout.history), software=f"redden {__version__}"
        ),
    )


def _quantity(values: Sequence[float], unit: str) -> Quantity:
    """A quantity of its five quantiles (`redden.posterior.PROBABILITIES`); what is not finite becomes null."""
    low_95, low_68, median, high_68, high_95 = (value if np.isfinite(value) else None for value in values)
    return Quantity(
        median=median,
        unit=unit,
        interval_68=None if low_68 is None or high_68 is None else (low_68, high_68),
        interval_95=None if low_95 is None or high_95 is None else (low_95, high_95),
    )
