"""Where the pixels of a mosaic lie on the sky."""

import math
import re
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from astropy.coordinates import ICRS, BaseCoordinateFrame, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame
from numpy.typing import NDArray

from redden.errors import MosaicError
from redden.pixelgrid import SCALE_RANGE
from redden.units import EXPOSURE_KEYWORDS, ZERO_POINT_KEYWORDS

_UNIT_KEYWORDS: Final = ("BUNIT", "PHOTMJSR", *ZERO_POINT_KEYWORDS, *EXPOSURE_KEYWORDS)
_WCS_KEYWORD: Final = re.compile(
    r"WCSAXES|RADESYS|RADECSYS|EQUINOX|LONPOLE|LATPOLE|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)[12]|(CD|PC)[12]_[12]|PV[12]_\d+|"
    r"[AB]P?_(ORDER|DMAX|\d+_\d+)"
)

_MARGIN: Final = 4
"""Pixels around what is asked for, for interpolation."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the pixels of a mosaic lie on the sky."""

    shape: tuple[int, int]
    """(ny, nx)."""
    header: fits.Header
    """The keywords of the WCS and of the unit, which are all that a window needs."""
    wcs: WCS
    frame: BaseCoordinateFrame
    """Frame of the coordinates of `wcs`."""
    pixel_scale: float
    """Side of a pixel in arcsec."""
    outline: NDArray[np.float64]
    """ICRS right ascension and declination of the corners in degrees, shape (4, 2)."""

    @classmethod
    def of(cls, image: Any, primary: fits.Header, name: str, unit: str | None, frame: str) -> Self:
        """The geometry of an image.

        Parameters
        ----------
        image : ImageHDU or CompImageHDU
            The image.
        primary : Header
            Primary header of its file, which may tell the unit.
        name : str
            What to call it in a message.
        unit : str, optional
            Unit in place of that of the header.
        frame : str
            Frame of its coordinates, if its WCS does not tell.

        Raises
        ------
        MosaicError
            If it is no image with two axes, a celestial WCS and pixels of a size that can be resampled.
        """
        if len(image.shape) != 2:
            raise MosaicError(f"{name} has {len(image.shape)} axes; a mosaic has 2. Name another `hdu`.")
        header = fits.Header([card for card in image.header.cards if _WCS_KEYWORD.fullmatch(card.keyword)])
        for key in _UNIT_KEYWORDS:
            if key in (source := image.header if key in image.header else primary):
                header[key] = source[key]
        if unit:
            header["BUNIT"] = unit
        if not {"RADESYS", "RADECSYS", "EQUINOX"} & set(header):
            header["RADESYS"] = frame.upper()
        try:
            return cls._placed(image.shape, header)
        except MosaicError as error:
            raise MosaicError(f"{name} {error} Name another `hdu`, or correct the file.") from error
        except Exception as error:  # astropy raises many kinds on a malformed WCS
            raise MosaicError(f"{name} has a WCS that cannot be used: {error}. Correct the file.") from error

    @classmethod
    def _placed(cls, shape: tuple[int, int], header: fits.Header) -> Self:
        wcs = WCS(header, naxis=2)
        if not wcs.has_celestial:
            raise MosaicError("has no celestial WCS.")
        ny, nx = shape
        corners = wcs.pixel_to_world([-0.5, nx - 0.5, nx - 0.5, -0.5], [-0.5, -0.5, ny - 0.5, ny - 0.5]).icrs
        outline = np.stack([corners.ra.deg, corners.dec.deg], axis=-1)
        if not np.isfinite(outline).all():
            raise MosaicError("has a WCS that puts its corners nowhere on the sky.")
        scale = float(np.sqrt(np.prod(proj_plane_pixel_scales(wcs)))) * 3600
        low, high = SCALE_RANGE
        if not low <= scale <= high:
            raise MosaicError(f"has pixels of {scale:.3g} arcsec, which are not between {low} and {high}.")
        return cls((int(ny), int(nx)), header, wcs, wcs_to_celestial_frame(wcs), scale, outline)

    @property
    def projection(self) -> tuple[tuple[str, object], ...]:
        """What images have in common whose pixels differ by a shift, that of ``CRPIX``, and by nothing else."""
        return tuple(
            (card.keyword, card.value)
            for card in self.header.cards
            if card.keyword not in ("CRPIX1", "CRPIX2", *_UNIT_KEYWORDS)
        )

    @property
    def unit(self) -> tuple[tuple[str, object], ...]:
        """The keywords that tell the unit of the pixels."""
        return tuple((key, self.header[key]) for key in _UNIT_KEYWORDS if key in self.header)

    def half_sides(self, size: float) -> tuple[int, int]:
        """Pixels on each side of the middle of a square of `size` arcsec, and of what holds it however it is turned."""
        side = size / self.pixel_scale
        return math.ceil(side / 2), math.ceil(side / math.sqrt(2)) + _MARGIN

    def pixel(self, position: SkyCoord) -> tuple[float, float]:
        """The pixel coordinates (x, y), from 0, of a position, with the distortion that the WCS has."""
        x, y = self.wcs.all_world2pix(*self._degrees(position), 0, ra_dec_order=True)
        return float(x), float(y)

    def undistorted_pixels(self, positions: SkyCoord) -> NDArray[np.float64]:
        """Pixels (x, y), from 0, of N positions, without any distortion, shape (N, 2); NaN where there are none."""
        return np.stack(self.wcs.wcs_world2pix(*self._degrees(positions), 0, ra_dec_order=True), axis=-1)

    def _degrees(self, positions: SkyCoord) -> tuple[Any, Any]:
        """Longitude and latitude of positions in its own frame."""
        if not isinstance(self.frame, ICRS):
            positions = positions.transform_to(self.frame)
        spherical = positions.spherical
        return spherical.lon.deg, spherical.lat.deg
