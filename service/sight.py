"""A survey as a request sees it: from a position to the cutout and to the answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from anyio.to_thread import run_sync
from astropy.coordinates import SkyCoord

from redden.cutout import Cutout, cut
from redden.errors import OffFootprintError
from redden.fits import Image
from redden.grid import PIXEL_SCALE, SIZE
from redden.modelcard import ModelCard
from service.measure import Measured, Measurement
from service.positions import SurveyRequest
from service.surveys.registry import Surveys
from service.surveys.survey import Survey


@dataclass(frozen=True, slots=True)
class Sight:
    """A survey as it is seen by a request: which bands are read, and how they are cut."""

    request: SurveyRequest
    survey: Survey
    card: ModelCard
    surveys: Surveys
    measurement: Measurement

    @classmethod
    def of(cls, request: SurveyRequest, surveys: Surveys, measurement: Measurement) -> Self:
        """Find the survey and the model.

        Raises
        ------
        UnknownSurveyError, UnknownModelError
            If there is none.
        """
        card = measurement.registry.card(request.model, request.version)
        return cls(request, surveys.get(request.survey), card, surveys, measurement)

    async def measure(
        self, position: SkyCoord, redshift: tuple[float, float] | None = None, *, explain: bool = False
    ) -> Measured:
        """Measure the galaxy at a position, of this redshift and standard error if they are known.

        Raises
        ------
        ReddenError
            A subclass says what is wrong with the position, the survey or the model server.
        """
        images = await self._images(position)
        read = partial(self._cut, images, position)
        return await self.measurement.measure_cutout(read, self.request, redshift, explain=explain)

    async def cutout(self, position: SkyCoord) -> Cutout:
        """The pixels that `measure` measures."""
        images = await self._images(position)
        return await self.measurement.in_thread(partial(self._cut, images, position))

    async def _images(self, position: SkyCoord) -> list[Image]:
        """The windows of the bands that the model looks at; of all bands if the survey lacks one that it needs."""
        there = [band for band in self.card.bands if band in self.survey.mosaics]
        enough = there if self.card.takes_any_bands else len(there) == len(self.card.bands)
        bands = there if enough else None
        size = SIZE * PIXEL_SCALE
        if self.request.recentre is not None:
            size += 2 * self.request.recentre_radius
        try:
            return await run_sync(self.survey.windows, position, size, bands)
        except OffFootprintError as error:
            other = await run_sync(self.surveys.covering, position, self.survey)
            advice = f"Survey {other.name} covers it." if other else "No registered survey is known to cover it."
            raise OffFootprintError(f"{error} {advice}") from error

    def _cut(self, images: Sequence[Image], position: SkyCoord) -> Cutout:
        digest = hashlib.sha256(b"".join(image.data.tobytes() for image in images)).hexdigest()
        return cut(
            images,
            digest,
            position=position,
            recentre=self.request.recentre,
            recentre_radius=self.request.recentre_radius,
        )
