"""Rows one by one, until they are vectorised."""

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.coordinates import SkyCoord

from redden.cutout import cut, model_input
from redden.errors import ModelServerError, ReddenError
from redden.modelcard import ModelCard
from redden.posterior import quantiles
from service.bulk.columns import OK, QUANTILES, result_columns, schema
from service.surveys.survey import Survey


async def measure_positions(
    survey: Survey,
    ra: Any,
    dec: Any,
    card: ModelCard,
    predict: Callable[[Any], Awaitable[Any]],
    *,
    redshift: Any = None,
    recentre: Any = None,
    recentre_radius: float = 0.5,
) -> pa.Table:
    """One row per position."""
    rows = []
    for i in range(len(ra)):
        try:
            if not np.isfinite([ra[i], dec[i]]).all():
                raise ReddenError("the row has no position.")
            position = SkyCoord(ra[i] * u.deg, dec[i] * u.deg)
            bands = [band for band in card.bands if band in survey.mosaics]
            images = survey.windows(position, bands=bands)
            cutout = cut(images, "", position=position, recentre=recentre, recentre_radius=recentre_radius)
            inputs = model_input(cutout, card, None if redshift is None else tuple(redshift[i]))
            numbers = quantiles(card, await predict(inputs))
        except ModelServerError:
            raise
        except ReddenError as error:
            rows.append({"status": str(error)})
            continue
        row: dict[str, Any] = {"status": OK, "flags": " ".join(flag.code for flag in cutout.flags)}
        for name, values in numbers.items():
            row |= {f"{name}{end}": float(value) for end, value in zip(QUANTILES, values[0], strict=True)}
        row |= {f"snr_{band}": value for band, value in cutout.snr.items()}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=schema(result_columns(card)))
