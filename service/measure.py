"""The path of a cutout: files to pixels, pixels to model input, model outputs to the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from redden.answer import Answer, Explanation
from redden.cutout import Cutout, model_input, read_cutout
from redden.errors import BandError, ReddenError, UnitError
from redden.fits import Upload
from redden.modelcard import ModelCard
from redden.modelinput import Inputs
from redden.options import ModelChoice
from service.answers import make_answer
from service.explain import occlude
from service.inference.batcher import Batcher
from service.inference.client import ModelServer, ModelServerTimeoutError, Tensors
from service.parameters import Parameters, Question
from service.registry import Registry

Result = TypeVar("Result")

READING_THREADS: Final = 2
"""Threads that read FITS; more would only fight the event loop for the interpreter."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A galaxy and what was answered about it."""

    cutout: Cutout
    answer: Answer


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

    async def measure(self, uploads: Sequence[Upload], parameters: Parameters) -> Measured:
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
        return await self.measure_cutout(read, parameters, parameters.z, explain=parameters.explain)

    async def measure_cutout(
        self,
        read: Callable[[], Cutout],
        question: Question,
        redshift: tuple[float, float] | None = None,
        *,
        explain: bool = False,
    ) -> Measured:
        """Measure one galaxy in a cutout.

        Parameters
        ----------
        read : callable
            Makes the cutout.
        question : Question
            Which model is asked, and what.
        redshift : (float, float), optional
            Redshift of the galaxy and its standard error.
        explain : bool
            Whether the answer is explained.

        Raises
        ------
        ReddenError
            A subclass says what is wrong with the cutout, the question or the model server.
        """
        cutout, card, inputs = await self.in_thread(partial(self._prepare, read, question, redshift))
        outputs = await self._in_time(self._batcher(card).predict(inputs))
        answer = make_answer(cutout, card, outputs, redshift, question.a_v_above)
        if explain:
            answer = answer.model_copy(update={"explanation": await self._explain(cutout, card, redshift)})
        return Measured(cutout, answer)

    async def _explain(self, cutout: Cutout, card: ModelCard, redshift: tuple[float, float] | None) -> Explanation:
        occlusion, inputs = await self.in_thread(partial(occlude, cutout, card, redshift))
        outputs = await self._in_time(self.model_server.predict(card.name, card.version, inputs))
        return await self.in_thread(partial(occlusion.explain, card, outputs))

    async def _in_time(self, prediction: Awaitable[Tensors]) -> Tensors:
        try:
            async with asyncio.timeout(self.deadline):
                return await prediction
        except TimeoutError:
            raise ModelServerTimeoutError(
                f"the model server did not answer within {self.deadline:g} s; try again in a moment."
            ) from None

    async def in_thread(self, read: Callable[[], Result]) -> Result:
        """Do work for the processor in a thread, so that other requests go on meanwhile."""
        return await run_sync(read, limiter=self._threads)

    def _prepare(
        self, read: Callable[[], Cutout], choice: ModelChoice, redshift: tuple[float, float] | None
    ) -> tuple[Cutout, ModelCard, Inputs]:
        card = self.registry.card(choice.model, choice.version)
        cutout = read()
        try:
            return cutout, card, model_input(cutout, card, redshift)
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
