"""Finding the source near the middle of a cutout."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from redden.grid import PIXEL_SCALE, SIZE

Recentre = Literal["peak", "centroid"]
"""What a cutout may be moved onto: the brightest point of the source, or its centre of light."""

RECENTRE_RADIUS: Final = 0.3
"""Farthest in arcsec that a cutout is moved onto its source, unless stated otherwise."""

MAX_RECENTRE_RADIUS: Final = 0.48
"""Largest such radius: that of the cutout."""

DETECTION: Final = 3.0
"""Height of the peak above the sky, in standard deviations of the smoothed image, from which there is a source."""

_MIDDLE: Final = (SIZE - 1) / 2
_MAD_TO_SIGMA: Final = 1.4826
_MAX_STEPS: Final = 30
_AT_REST: Final = 0.01
"""Step in pixels below which the centroid has been found."""
_y, _x = np.mgrid[:SIZE, :SIZE] - _MIDDLE
_OUTSKIRTS: Final = np.hypot(_x, _y) > 12


def find_source(pixels: NDArray[np.float64], what: Recentre, radius: float) -> tuple[float, float] | None:
    """Offset of the source from the middle of a cutout.

    The image is smoothed by the width of the PSF first. The peak is the highest pixel within the radius, refined by a
    parabola through its neighbours. The centroid is that of the light above `DETECTION`, in a circle of the radius
    that follows it until it rests.

    Parameters
    ----------
    pixels : ndarray, shape (32, 32)
        Finite pixels.
    what : "peak" or "centroid"
    radius : float
        Greatest distance in arcsec, at most `MAX_RECENTRE_RADIUS`.

    Returns
    -------
    (float, float) or None
        Pixels along x and y; None if no source stands out within the radius.
    """
    # Imported here, so that the client, which only needs the names above, starts quickly.
    from astropy.convolution import Gaussian2DKernel, convolve

    smooth = convolve(pixels, Gaussian2DKernel(1.0), boundary="extend")
    sky = np.median(smooth[_OUTSKIRTS])
    noise = _MAD_TO_SIGMA * np.median(np.abs(smooth[_OUTSKIRTS] - sky))
    light = smooth - sky
    reach = radius / PIXEL_SCALE
    within = np.where(_is_highest_of_neighbours(light) & (np.hypot(_x, _y) <= reach), light, -np.inf)
    row, column = (int(index) for index in np.unravel_index(within.argmax(), within.shape))
    if not within[row, column] > DETECTION * noise:
        return None
    peak = (
        column - _MIDDLE + _vertex(*light[row, column - 1 : column + 2]),
        row - _MIDDLE + _vertex(*light[row - 1 : row + 2, column]),
    )
    return peak if what == "peak" else _centroid(np.where(light > DETECTION * noise, light, 0.0), peak, reach)


def _is_highest_of_neighbours(light: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Local maxima; never at the edge, where not all neighbours are known."""
    highest = np.lib.stride_tricks.sliding_window_view(light, (3, 3)).max(axis=(-2, -1))
    return np.pad(light[1:-1, 1:-1] >= highest, 1)


def _vertex(before: float, highest: float, after: float) -> float:
    """Where a parabola through three neighbours is highest, from the middle one, -0.5...0.5."""
    curvature = 2 * highest - before - after
    return 0.0 if curvature == 0 else float((after - before) / (2 * curvature))


def _centroid(light: NDArray[np.float64], start: tuple[float, float], reach: float) -> tuple[float, float] | None:
    """Centre of light in a circle that is centred on it; None if that leads out of reach."""
    x, y = start
    for _ in range(_MAX_STEPS):
        inside = light * (np.hypot(_x - x, _y - y) <= reach)
        last = (x, y)
        x, y = (float((inside * axis).sum() / inside.sum()) for axis in (_x, _y))
        if np.hypot(x - last[0], y - last[1]) < _AT_REST:
            break
    return (x, y) if np.hypot(x, y) <= reach else None
