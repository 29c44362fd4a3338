"""``GET /v1/surveys``: which surveys can be measured, where they have data, and what is known of their sources."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse
from numpy.typing import NDArray

from redden.errors import NoCatalogueError
from redden.modelcard import ModelCard
from redden.served import ServedBand, ServedSurvey, SurveyList
from service.dependencies import MeasurementDependency, SurveysDependency
from service.errors import problem_responses
from service.surveys.definition import is_remote
from service.surveys.survey import Survey

router = APIRouter(prefix="/v1", tags=["surveys"])

FITS: Final = "application/fits"
TABLE_TYPES: Final = {
    ".fits": FITS,
    ".csv": "text/csv",
    ".vot": "application/x-votable+xml",
    ".xml": "application/x-votable+xml",
}
"""Media types of catalogues by suffix; others, such as ECSV, are plain text."""


def _survey(
    name: Annotated[str, PathParameter(description="Name of the survey.", examples=["demo"])],
    surveys: SurveysDependency,
) -> Survey:
    return surveys.get(name)


SurveyDependency = Annotated[Survey, Depends(_survey)]


def _served(survey: Survey, models: list[ModelCard]) -> ServedSurvey:
    definition = survey.definition
    return ServedSurvey(
        name=definition.name,
        title=definition.title,
        description=definition.description,
        reference=definition.reference,
        citation=definition.citation,
        checked=survey.checked,
        bands={
            band: ServedBand(mosaics=len(of_band.mosaics), psf_fwhm=of_band.psf_fwhm)
            for band, of_band in definition.bands.items()
        },
        catalogue=definition.catalogue is not None,
        models=[card.name for card in models if _measurable(card, set(definition.bands))],
    )


def _measurable(card: ModelCard, bands: set[str]) -> bool:
    return bool(bands & set(card.bands)) if card.takes_any_bands else bands >= set(card.bands)


@router.get("/surveys", summary="List the surveys", response_description="Every registered survey.")
async def surveys(surveys: SurveysDependency, measurement: MeasurementDependency) -> SurveyList:
    """All registered surveys, by whose names `/v1/predict` and `/v1/cutout` find their mosaics."""
    return SurveyList(
        surveys=[_served(survey, measurement.registry.newest) for survey in surveys.surveys.values()],
        refused={Path(file).name: reason for file, reason in surveys.refused.items()},
    )


@router.get(
    "/surveys/{name}",
    summary="Describe a survey",
    response_description="The survey.",
    responses=problem_responses(404, 422),
)
async def survey(survey: SurveyDependency, measurement: MeasurementDependency) -> ServedSurvey:
    """One survey, with its bands and the models that these suffice for."""
    return _served(survey, measurement.registry.newest)


@router.get(
    "/surveys/{name}/footprint",
    summary="Where a survey has data",
    response_class=Response,
    responses={
        200: {
            "description": "The footprint.",
            "content": {"application/json": {"schema": {"type": "object"}}, FITS: {}, "text/plain": {}},
        },
        **problem_responses(404, 422, 502, 503),
    },
)
async def footprint(
    survey: SurveyDependency,
    format: Annotated[
        Literal["json", "fits", "stc-s", "adql"],
        Query(
            description="`json` and `fits`: a coverage map (MOC 2.0) of cells that the mosaics touch. `stc-s` and "
            "`adql`: the corners of the mosaics as polygons, the latter one a line.",
            examples=["adql"],
        ),
    ] = "json",
) -> Response:
    """Where at least one mosaic lies; a position within may still have no data, where the detectors leave gaps."""
    if format in ("json", "fits"):
        moc = await run_sync(lambda: survey.footprint)
        return JSONResponse(moc.serialize("json")) if format == "json" else Response(_fits(moc), media_type=FITS)
    polygons = list(_different(await run_sync(lambda: survey.outlines)))
    if format == "adql":
        return PlainTextResponse("".join(f"POLYGON('ICRS', {_listed(polygon, ', ')})\n" for polygon in polygons))
    regions = [f"Polygon ICRS {_listed(polygon, ' ')}" for polygon in polygons]
    shapes = " ".join(region.replace(" ICRS", "") for region in regions)
    return PlainTextResponse(f"{regions[0]}\n" if len(regions) == 1 else f"Union ICRS ({shapes})\n")


@router.get(
    "/surveys/{name}/catalogue",
    summary="The catalogue of a survey",
    response_class=Response,
    responses={
        200: {
            "description": "The table as it is.",
            "content": {kind: {} for kind in ("text/plain", *dict.fromkeys(TABLE_TYPES.values()))},
        },
        307: {"description": "It is elsewhere on the web."},
        **problem_responses(404, 422),
    },
)
async def catalogue(survey: SurveyDependency) -> Response:
    """The table of sources that came with the survey. That of `demo` holds the true values of its galaxies."""
    path = survey.definition.catalogue
    if path is None:
        raise NoCatalogueError(f"survey {survey.name} has no catalogue. Its file may name one as `catalogue`.")
    if path.startswith(("http://", "https://")):
        return RedirectResponse(path)
    if is_remote(path):
        raise NoCatalogueError(f"the catalogue of survey {survey.name} is at {path}, which has no web address.")
    if not Path(path).is_file():
        raise NoCatalogueError(f"the catalogue of survey {survey.name} is not where the survey file says.")
    file = Path(path)
    return FileResponse(file, media_type=TABLE_TYPES.get(file.suffix, "text/plain"), filename=file.name)


def _fits(moc: Any) -> bytes:
    stream = BytesIO()
    moc.serialize("fits").writeto(stream)
    return stream.getvalue()


def _different(outlines: dict[str, list[NDArray[np.float64]]]) -> Iterator[NDArray[np.float64]]:
    """The outlines of all mosaics, each once, though several bands share it."""
    yield from {outline.round(5).tobytes(): outline for of_band in outlines.values() for outline in of_band}.values()


def _listed(polygon: NDArray[np.float64], separator: str) -> str:
    return separator.join(f"{number:.6f}" for number in polygon.ravel())
