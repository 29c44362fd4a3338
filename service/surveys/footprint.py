"""Where a survey has data: the outlines of its mosaics, kept in a file beside the survey file, as a coverage map."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from mocpy import MOC
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

ORDER: Final = 16
"""Order of the coverage maps: cells of 3.2 arcsec, some three cutouts."""

Corner = tuple[float, float]


class Outlines(BaseModel):
    """The outlines of all mosaics, as a file."""

    survey_file: Annotated[str, Field(description="SHA-256 of the survey file that they were found for.")]
    bands: Annotated[
        dict[str, list[list[Corner]]],
        Field(description="Corners (ICRS right ascension, declination in degrees) of each mosaic of each band."),
    ]


def outlines_file(survey_file: Path) -> Path:
    """Where the outlines for a survey file are kept."""
    return survey_file.with_suffix(".footprint.json")


def read_outlines(survey_file: Path) -> dict[str, list[NDArray[np.float64]]]:
    """The outlines of the mosaics of each band, or nothing if none are kept for this content of the survey file."""
    try:
        kept = Outlines.model_validate_json(outlines_file(survey_file).read_bytes())
    except (OSError, ValidationError):
        return {}
    if kept.survey_file != _digest(survey_file):
        return {}
    return {band: [np.array(corners) for corners in outlines] for band, outlines in kept.bands.items()}


def write_outlines(survey_file: Path, outlines: dict[str, list[NDArray[np.float64]]]) -> None:
    """Keep the outlines of the mosaics of each band."""
    bands = {
        band: [[tuple(corner) for corner in outline.tolist()] for outline in all_] for band, all_ in outlines.items()
    }
    kept = Outlines(survey_file=_digest(survey_file), bands=bands)
    outlines_file(survey_file).write_text(kept.model_dump_json(indent=1) + "\n", encoding="utf-8")


def coverage(outlines: Iterable[NDArray[np.float64]]) -> MOC:
    """The coverage map of one or more outlines, each the ICRS corners in degrees of shape (4, 2)."""
    # The bands of a pointing mostly have the same outline.
    different = {outline.round(5).tobytes(): outline for outline in outlines}.values()
    first, *others = (
        MOC.from_polygon_skycoord(SkyCoord(outline, unit=u.deg), max_depth=ORDER) for outline in different
    )
    union: MOC = first.union(*others) if others else first
    return union


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()
