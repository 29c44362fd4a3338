"""``POST /v1/predict``: one galaxy, measured while you wait."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from redden.answer import Answer
from service.dependencies import MeasurementDependency, SettingsDependency
from service.errors import problem_responses
from service.explanation import PICTURE, answered
from service.parameters import Parameters
from service.uploads import REQUEST_BODY, read_uploads

router = APIRouter(prefix="/v1", tags=["measure"])


@router.post(
    "/predict",
    summary="Measure the dust in one galaxy",
    response_description="A_V, E(B-V), R_V and the specific star-formation rate, with intervals.",
    response_model=Answer,
    responses={200: PICTURE, **problem_responses(400, 404, 413, 415, 422, 503, 504, 507)},
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def predict(
    request: Request,
    parameters: Annotated[Parameters, Query()],
    measurement: MeasurementDependency,
    settings: SettingsDependency,
) -> Answer | Response:
    """Send the images of one galaxy as FITS: one file with all bands, or one file per band.

    The 0.96 arcsec around the centre, or around `ra` and `dec`, are measured, and each image must cover them: 32x32
    pixels of 0.03 arcsec. Pixels of another scale, from 0.01 to 0.1 arcsec, are resampled. Models that compare bands
    need the pixels' unit, from the header or from `unit`. A redshift, if it is known, sharpens the answer of models
    that take one. With `explain`, the answer tells which pixels and bands moved it, as JSON or as a picture.

    ```
    curl -F files=@F277W.fits -F files=@F356W.fits -F files=@F444W.fits http://127.0.0.1:8000/v1/predict
    curl --data-binary @galaxy.fits -H 'Content-Type: application/fits' http://127.0.0.1:8000/v1/predict
    ```
    """
    uploads = await read_uploads(request, settings.max_upload_bytes)
    return await answered(await measurement.measure(uploads, parameters), parameters, request)
