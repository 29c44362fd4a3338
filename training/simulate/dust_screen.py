"""The dust in front of every star.

A gas cell is a ball of density (1 - r^2/H^2)^3 with H = 2.5 cell radii, so both its column and the part of the column
that lies in front of a star have closed forms. tau_V is linear in the dust-to-metal ratio: columns of metals are
computed once per orientation.
"""

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from training.simulate.gas import GasCells

Array = NDArray[np.float64]

TAU_V: Final = 6.06e-6
"""tau_V of a dust column of 1 Msun/kpc2: kappa_V = 2.9e4 cm2 per g of dust, Milky-Way-like grains."""
_SMOOTHING: Final = 2.5

VIEWS: Final = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [3**-0.5, 3**-0.5, 3**-0.5]])
"""Directions towards the observer: the three axes and the diagonal, as in the paper."""


def sky_axes(view: Array) -> Array:
    """Rotation matrix whose rows are the sky's x and y and the direction towards the observer.

    Parameters
    ----------
    view : ndarray, shape (3,)
        Unit vector towards the observer.

    Returns
    -------
    ndarray, shape (3, 3)
    """
    helper = np.roll(np.eye(3)[np.argmax(view)], 1)
    x = np.cross(helper, view)
    x /= np.linalg.norm(x)
    return np.array([x, np.cross(view, x), view])


def tau_v(stars: Array, gas: GasCells, gas_position: Array) -> Array:
    """Optical depth in V in front of each star, if all metals were dust.

    Parameters
    ----------
    stars : ndarray, shape (stars, 3)
        Positions in kpc: sky x, sky y, and towards the observer.
    gas : GasCells
        Gas cells; of their positions only the number counts.
    gas_position : ndarray, shape (cells, 3)
        Positions of the gas cells in the same axes.

    Returns
    -------
    ndarray, shape (stars,)
        To be multiplied by the dust-to-metal ratio.
    """
    reach = _SMOOTHING * gas.radius
    # int (1 - r^2/H^2)^3 d3r = 64 pi H^3 / 315 and int (1 - s^2)^3 ds over -1...1 = 32/35.
    central_column = gas.metal_mass * 4.5 / (np.pi * reach**2)
    order = np.argsort(stars[:, 0])
    column = np.empty(len(stars))
    column[order] = _columns(stars[order], gas_position, reach, central_column)
    return TAU_V * column


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator, no-untyped-call]  # numba has no types
def share_in_front(depth: float) -> float:
    """Share of a cell's column that lies in front of a star.

    Parameters
    ----------
    depth : float or ndarray
        Distance of the cell in front of the star over half of the path through the cell: from -1, when all of the
        cell is behind the star, to 1, when all of it is in front.

    Returns
    -------
    float or ndarray, same shape
    """
    s = min(max(depth, -1.0), 1.0)
    square = s * s
    return 0.5 + 35 / 32 * s * (1 - square * (1 - square * (0.6 - square / 7)))


@numba.njit(cache=True)
def _columns(stars: Array, cells: Array, reach: Array, central_column: Array) -> Array:
    """Column in front of each star; the stars are in the order of their x, so that a cell meets only those nearby."""
    column = np.zeros(len(stars))
    x = stars[:, 0].copy()
    for cell in range(len(cells)):
        first = np.searchsorted(x, cells[cell, 0] - reach[cell])
        last = np.searchsorted(x, cells[cell, 0] + reach[cell])
        square = 1 / reach[cell] ** 2
        for star in range(first, last):
            dx, dy = x[star] - cells[cell, 0], stars[star, 1] - cells[cell, 1]
            inner = 1 - (dx * dx + dy * dy) * square
            if inner > 0:
                half_path = np.sqrt(inner)
                depth = (cells[cell, 2] - stars[star, 2]) / (reach[cell] * half_path)
                column[star] += central_column[cell] * inner**3 * half_path * share_in_front(depth)
    return column
