"""A survey: the images of all bands at a position, and where it has data."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy.coordinates import SkyCoord
from mocpy import MOC
from numpy.typing import NDArray

from redden.answer import Flag
from redden.errors import BandError, OffFootprintError
from redden.fits import Image
from redden.grid import PIXEL_SCALE, SIZE
from service.surveys.definition import Definition
from service.surveys.footprint import coverage
from service.surveys.mosaic import Mosaic, Window, unit_vectors
from service.surveys.remote import short_name

CUTOUT_SIZE: Final = SIZE * PIXEL_SCALE
"""Side of a cutout in arcsec."""


@dataclass(slots=True, eq=False)
class Survey:
    """A registered survey; safe to use from several threads.

    Attributes
    ----------
    file : Path
        Its survey file.
    definition : Definition
        What the file says, with absolute paths.
    mosaics : dict of str to tuple of Mosaic
        Its mosaics by band.
    readers : Executor
        Threads that read bands side by side.
    checked : bool
        Whether its mosaics have been opened at these addresses, by the author of the file or by a check.
    """

    file: Path
    definition: Definition
    mosaics: dict[str, tuple[Mosaic, ...]]
    readers: Executor
    checked: bool
    _footprint: MOC | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name

    def windows(self, position: SkyCoord, size: float = CUTOUT_SIZE, bands: Sequence[str] | None = None) -> list[Image]:
        """The images around a position, one for each band that has data there.

        Parameters
        ----------
        position : SkyCoord
            Where.
        size : float
            Side in arcsec of the square that is needed, in whatever orientation; the windows are somewhat larger.
        bands : sequence of str, optional
            Bands to read; by default all of the survey.

        Returns
        -------
        list of Image
            Pixels without data are NaN. An image is flagged if no tile has data in all of the square.

        Raises
        ------
        OffFootprintError
            If there is no data in any band.
        BandError
            If the survey does not have one of `bands`.
        MosaicError
            If a mosaic cannot be read.
        """
        missing = [band for band in bands or () if band not in self.mosaics]
        if missing:
            raise BandError(f"survey {self.name} does not have {', '.join(missing)}; it has {', '.join(self.mosaics)}.")
        wanted, position = tuple(bands or self.mosaics), position.icrs
        found = self.readers.map(lambda band: self._window(band, position, size), wanted)
        images = [image for image in found if image is not None]
        if not images:
            raise OffFootprintError(
                f"survey {self.name} has no data at {position.to_string('decimal', precision=6)} "
                f"in {', '.join(wanted)}."
            )
        return images

    @property
    def outlines(self) -> dict[str, list[NDArray[np.float64]]]:
        """ICRS corners of each mosaic of each band in degrees, shape (4, 2); opens those that are not known yet.

        Raises
        ------
        MosaicError
            If a mosaic cannot be read.
        """
        return {band: [mosaic.outline for mosaic in mosaics] for band, mosaics in self.mosaics.items()}

    @property
    def footprint(self) -> MOC:
        """Where at least one mosaic lies, told from the outlines; opens the mosaics whose outline is not known.

        Raises
        ------
        MosaicError
            If a mosaic cannot be read.
        """
        if self._footprint is None:
            self._footprint = coverage(outline for outlines in self.outlines.values() for outline in outlines)
        return self._footprint

    @property
    def footprint_known(self) -> bool:
        """Whether the footprint can be told without opening a mosaic."""
        return all(mosaic.outline_known for mosaics in self.mosaics.values() for mosaic in mosaics)

    def offset(self, position: SkyCoord) -> float:
        """Smallest distance of a position from the centre of a mosaic, in units of the distance of its corners."""
        direction = unit_vectors(position.icrs)
        return min(mosaic.offset(direction) for mosaics in self.mosaics.values() for mosaic in mosaics)

    def _window(self, band: str, position: SkyCoord, size: float) -> Image | None:
        """The window from the tile that has most of it; of those that have all, where it is farthest inside."""
        direction = unit_vectors(position)
        offsets = {mosaic: mosaic.offset(direction) for mosaic in self.mosaics[band]}
        best: tuple[Mosaic, Window] | None = None
        for mosaic in sorted((mosaic for mosaic, offset in offsets.items() if offset <= 1), key=offsets.__getitem__):
            window = mosaic.window(position, size)
            if window and window.covered > (best[1].covered if best else 0):
                best = mosaic, window
            if best and best[1].covered == 1:
                break
        if best is None:
            return None
        mosaic, window = best
        flags = () if window.covered == 1 else (_incomplete(band, window),)
        return Image(band, window.data, window.header, f"{self.name}:{short_name(mosaic.path)}", flags)


def _incomplete(band: str, window: Window) -> Flag:
    return Flag(
        code="incomplete_tile",
        message=f"{band}: no mosaic of the survey has data in all of the cutout; the best has it in "
        f"{window.covered:.1%}. The position is at a border, or pixels are masked.",
    )
