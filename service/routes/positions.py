"""Measuring at positions of a survey: one, many, and the cutout itself."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from redden.answer import Answer, PositionAnswer
from service.dependencies import MeasurementDependency, SurveysDependency
from service.errors import make_problem, problem_responses
from service.explanation import PICTURE, answered
from service.pictures import fits_file, png_file
from service.positions import CutoutRequest, ManyPositions, Measure, NamedPlace, WrongPlace
from service.sight import Sight

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["measure"])

AT_ONCE: Final = 16
"""Positions of one request that are read and measured at the same time."""

MEDIA_TYPES: Final = {"fits": "application/fits", "png": "image/png"}


@router.get(
    "/predict",
    name="predict_at",
    summary="Measure the dust in the galaxy at a position of a survey",
    response_description="A_V, E(B-V), R_V and the specific star-formation rate, with intervals.",
    response_model=Answer,
    responses={200: PICTURE, **problem_responses(404, 422, 502, 503, 504)},
)
async def predict_at(
    request: Request,
    asked: Annotated[Measure, Query()],
    surveys: SurveysDependency,
    measurement: MeasurementDependency,
) -> Answer | Response:
    """Give a survey and a position; of its mosaics only the pixels around it are read.

    With `explain`, the answer tells which pixels and bands moved it, as JSON or as a picture.

    ```
    curl 'http://127.0.0.1:8000/v1/predict?survey=demo&ra=29.99903&dec=12.00498'
    ```
    """
    measured = await Sight.of(asked, surveys, measurement).measure(asked.position, asked.z, explain=asked.explain)
    return await answered(measured, asked, request)


def _many(
    asked: ManyPositions, surveys: SurveysDependency, measurement: MeasurementDependency
) -> tuple[Sight, list[NamedPlace | WrongPlace]]:
    """Find survey and model before the answer begins, when it can still be a problem."""
    return Sight.of(asked, surveys, measurement), asked.positions


@router.post(
    "/predict/positions",
    summary="Measure at many positions of a survey",
    response_description="A line of JSON for each position, as soon as it is measured, in any order.",
    responses=problem_responses(404, 422),
)
async def predict_positions(
    many: Annotated[tuple[Sight, list[NamedPlace | WrongPlace]], Depends(_many)],
) -> AsyncIterator[PositionAnswer]:
    """Give a survey and up to 1,000 positions, each with its `redshift` and `id` if it has them.

    Each line holds the `index` of its position and its `id`. What is wrong at one position is a `problem` in its line,
    and does not touch the others.

    ```
    curl -N http://127.0.0.1:8000/v1/predict/positions -H 'Content-Type: application/json' \\
      -d '{"survey": "demo", "positions": [{"ra": 29.99903, "dec": 12.00498}, {"pos": "02:00:00.88 +12:00:42.28"}]}'
    ```
    """
    sight, places = many
    turn = asyncio.Semaphore(AT_ONCE)
    tasks = [asyncio.create_task(_line(sight, turn, i, place)) for i, place in enumerate(places)]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:  # also when the client has gone
        for unfinished in tasks:
            unfinished.cancel()


async def _line(sight: Sight, turn: asyncio.Semaphore, index: int, place: NamedPlace | WrongPlace) -> PositionAnswer:
    if isinstance(place, WrongPlace):
        return PositionAnswer(index=index, id=place.id, problem=make_problem(place.error).model_dump())
    position = place.position
    line = PositionAnswer(index=index, id=place.id, ra=float(position.ra.deg), dec=float(position.dec.deg))
    async with turn:
        try:
            return line.model_copy(update={"answer": (await sight.measure(position, place.z)).answer})
        except Exception as error:  # what would be an answer of its own is a line here
            problem = make_problem(error)
            if problem.status == 500:
                log.exception("position %d of a request: %s", index, problem.instance)
            return line.model_copy(update={"problem": problem.model_dump()})


@router.get(
    "/cutout",
    summary="Get the cutout that is measured at a position",
    response_description="The cutout.",
    response_class=Response,
    responses={
        200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}},
        **problem_responses(404, 422, 502, 503),
    },
)
async def cutout(
    asked: Annotated[CutoutRequest, Query()], surveys: SurveysDependency, measurement: MeasurementDependency
) -> Response:
    """Exactly the pixels that `GET /v1/predict` measures with these parameters, in the bands of its model.

    The FITS file can be sent to `POST /v1/predict`, with the same answer. The picture has an asinh stretch.

    ```
    curl -o galaxy.png 'http://127.0.0.1:8000/v1/cutout?survey=demo&ra=29.99903&dec=12.00498&format=png'
    ```
    """
    pixels = await Sight.of(asked, surveys, measurement).cutout(asked.position)
    content = png_file(pixels) if asked.format == "png" else fits_file(pixels, asked.survey)
    place = asked.position.to_string("decimal", precision=5).replace(" ", "_")
    name = f"{asked.survey}_{place}.{asked.format}"
    return Response(
        content, media_type=MEDIA_TYPES[asked.format], headers={"Content-Disposition": f'inline; filename="{name}"'}
    )
