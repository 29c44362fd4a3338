"""The registered surveys: only these are read, whatever a request says."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from astropy.coordinates import SkyCoord

from redden.errors import SurveyError, UnknownSurveyError
from service.settings import Settings
from service.surveys.definition import DEMO_DIR, Definition
from service.surveys.footprint import read_outlines
from service.surveys.mosaic import Mosaic, OpenMosaics
from service.surveys.remote import BlockCache
from service.surveys.survey import Survey

log = logging.getLogger(__name__)

READERS: Final = 8
"""Threads that wait for remote mosaics."""


@dataclass(slots=True)
class Surveys:
    """Registered surveys by name; safe to use from several threads."""

    surveys: dict[str, Survey] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Why a survey file cannot be used, by path."""
    _open: OpenMosaics = field(default_factory=OpenMosaics)
    _readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "survey-reader"))

    @classmethod
    def read(cls, settings: Settings) -> Self:
        """Read all survey files, but no mosaics; a file that cannot be used is refused alone.

        A survey in ``settings.surveys_dir`` takes the place of the demo if it has its name.
        """
        surveys = cls()
        cache = BlockCache(settings.survey_cache_bytes)
        for file in (*sorted(DEMO_DIR.glob("*.toml")), *sorted(settings.surveys_dir.glob("*.toml"))):
            try:
                survey = surveys._survey(file, cache)
            except SurveyError as error:
                surveys.refused[str(file)] = str(error)
                log.error("survey file %s is refused: %s", file, error)
            else:
                surveys.surveys[survey.name] = survey
        return surveys

    @property
    def names(self) -> list[str]:
        """Names of the surveys."""
        return list(self.surveys)

    def get(self, name: str) -> Survey:
        """A survey.

        Raises
        ------
        UnknownSurveyError
            If none has this name.
        """
        try:
            return self.surveys[name]
        except KeyError:
            raise UnknownSurveyError(
                f"there is no survey {name!r}; there {'is' if len(self.names) == 1 else 'are'} "
                f"{', '.join(self.names) or 'none'}."
            ) from None

    def covering(self, position: SkyCoord, besides: Survey | None = None) -> Survey | None:
        """The survey that covers a position, of several the one with a mosaic centred nearest to it; None if none does.

        Surveys whose footprint is not known yet are not asked, nor is the survey `besides`.
        """
        known = [survey for survey in self.surveys.values() if survey.footprint_known and survey is not besides]
        covering = [survey for survey in known if survey.footprint.contains_skycoords(position.icrs.reshape(1))[0]]
        return min(covering, key=lambda survey: survey.offset(position), default=None)

    def close(self) -> None:
        """Close all mosaics, and end the threads."""
        self._readers.shutdown(cancel_futures=True)
        self._open.close()

    def _survey(self, file: Path, cache: BlockCache) -> Survey:
        definition = Definition.read(file)
        outlines = read_outlines(file)
        mosaics = {
            band: tuple(Mosaic(band, tile, of_band.unit, definition, cache, self._open) for tile in of_band.mosaics)
            for band, of_band in definition.bands.items()
        }
        for band, corners in outlines.items():
            for mosaic, outline in zip(mosaics.get(band, ()), corners, strict=False):
                mosaic.outline = outline
        return Survey(file, definition, mosaics, self._readers, checked=definition.checked or bool(outlines))
