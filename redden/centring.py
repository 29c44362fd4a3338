"""Where a cutout is centred: where it was asked for, or on the source there."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from redden.answer import Flag
from redden.bands import BANDS
from redden.errors import BadPixelsError, PixelGridError
from redden.fits import Image
from redden.frame import Frame
from redden.grid import PIXEL_SCALE
from redden.pixelgrid import Grid, grid_around, reference
from redden.recentre import MAX_RECENTRE_RADIUS, Recentre, find_source
from redden.window import window_of


def centred(
    images: Sequence[Image], frames: Sequence[Frame], recentre: Recentre | None, radius: float
) -> tuple[Grid, list[str], list[Flag]]:
    """The grid around the galaxy, moved onto its source in the reddest band that is usable if asked for.

    Parameters
    ----------
    images : sequence of Image
    frames : sequence of Frame
        Where each is on the sky.
    recentre : "peak", "centroid" or None
        Whether, and onto what, the grid is moved.
    radius : float
        Farthest move in arcsec.

    Returns
    -------
    Grid
    list of str
        What was done, for the record.
    list of Flag
        ``not_recentred`` if no source stands out.

    Raises
    ------
    PixelGridError
        If the radius is out of bounds, or an image does not hold the cutout.
    BadPixelsError
        If no band is usable.
    """
    base = reference(frames)
    grid = grid_around(base, base.centre)
    if recentre is None:
        return grid, [], []
    if not 0 < radius <= MAX_RECENTRE_RADIUS:
        raise PixelGridError(f"recentre_radius is {radius:g} arcsec; it must be above 0, up to {MAX_RECENTRE_RADIUS}.")
    window, band = _reddest(images, frames, grid)
    offset = find_source(window, recentre, radius)
    if offset is None:
        missing = f"No source stands out within {radius:g} arcsec in {band}; the cutout was not recentred."
        return grid, [], [Flag(code="not_recentred", message=missing)]
    moved = grid_around(base, grid.pixel_in(base, offset))
    words = f"recentred on the {recentre} in {band}, {PIXEL_SCALE * np.hypot(*offset):.3f} arcsec away"
    return moved, [words], []


def _reddest(images: Sequence[Image], frames: Sequence[Frame], grid: Grid) -> tuple[NDArray[np.float64], str]:
    """Pixels and name of the reddest band that is usable."""
    order = list(BANDS)
    reasons: list[str] = []
    for number in sorted(range(len(images)), key=lambda number: order.index(images[number].band), reverse=True):
        try:
            return window_of(images[number], frames[number], grid)[0], images[number].band
        except BadPixelsError as error:
            reasons.append(str(error))
    raise BadPixelsError(" ".join(reasons))
