"""Opening every mosaic of a survey once, to see whether it can be measured, and keeping its footprint."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy import units as u
from mocpy import MOC

from redden.errors import MosaicError, UnitError
from redden.units import calibration
from service.surveys.footprint import coverage, write_outlines
from service.surveys.geometry import Geometry
from service.surveys.mosaic import Mosaic
from service.surveys.survey import Survey

_SKY: Final = float((4 * np.pi * u.sr).to_value(u.arcmin**2))


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in one mosaic."""

    band: str
    path: str
    geometry: Geometry | None
    """None if it could not be opened."""
    unit: str
    """How its numbers become flux."""
    problem: str
    """Empty if it can be measured."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a survey."""

    inspections: tuple[Inspection, ...]
    areas: dict[str, float]
    """Area in arcmin2 that the mosaics of each band span."""
    shared: float
    """Area in arcmin2 that all bands span."""

    @property
    def problems(self) -> list[str]:
        """What stands against measuring with this survey."""
        found = [f"{each.path}: {each.problem}" for each in self.inspections if each.problem]
        if not found and self.shared == 0:
            found.append("there is no place that all bands cover.")
        return found


def check(survey: Survey) -> Report:
    """Open each mosaic of a survey; if all can be read, keep their outlines beside the survey file.

    Checked are that each is a FITS image with a celestial WCS, pixels of a size that can be resampled, and a unit of
    flux; that error and weight maps have its shape; and that the bands overlap.
    """
    mosaics = [mosaic for of_band in survey.mosaics.values() for mosaic in of_band]
    inspections = tuple(survey.readers.map(_inspect, mosaics))
    by_band = dict(_coverages(inspections))
    if all(inspection.geometry for inspection in inspections):
        write_outlines(survey.file, survey.outlines)
        survey.checked = True
    maps = list(by_band.values())
    shared = maps[0].intersection(*maps[1:]) if len(maps) == len(survey.mosaics) else None
    return Report(
        inspections,
        {band: _area(moc) for band, moc in by_band.items()},
        _area(shared) if shared is not None else 0.0,
    )


def _inspect(mosaic: Mosaic) -> Inspection:
    try:
        geometry = mosaic.geometry
    except MosaicError as error:
        return Inspection(mosaic.band, mosaic.path, None, "", str(error))
    try:
        unit = calibration(geometry.header, (geometry.pixel_scale * u.arcsec) ** 2).source
    except UnitError as error:
        return Inspection(mosaic.band, mosaic.path, geometry, "", f"{error} Or state `unit` for the band.")
    return Inspection(mosaic.band, mosaic.path, geometry, unit, "")


def _coverages(inspections: tuple[Inspection, ...]) -> Iterator[tuple[str, MOC]]:
    for band in dict.fromkeys(inspection.band for inspection in inspections):
        found = [each.geometry.outline for each in inspections if each.band == band and each.geometry]
        if found:
            yield band, coverage(found)


def _area(moc: MOC) -> float:
    """Area in arcmin2."""
    return float(moc.sky_fraction) * _SKY
