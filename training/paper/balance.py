"""How often each image is shown so that the labels are spread as evenly as copies can spread them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 20
"""Bins of equal width in which the labels are counted."""


def copies(labels: ArrayLike, total: int, *, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each image is shown, itself included.

    Bins are filled up to one common height, as far as `most` copies of each image go; bins that are higher already
    stay, since no image is thrown away.

    Parameters
    ----------
    labels : array_like, shape (images,)
        Finite labels.
    total : int
        Wanted number of images; with fewer than there are, each is shown once, and no more than `most` times as many
        come out.
    most : int
        How often an image may be shown.
    rng : Generator
        Decides which images of a bin are shown once more than the others.

    Returns
    -------
    ndarray of int64, shape (images,)
    """
    labels = np.asarray(labels, dtype=np.float64)
    edges = np.linspace(labels.min(), labels.max(), BINS + 1)
    member = np.searchsorted(edges[1:-1], labels, side="right")
    count = np.bincount(member, minlength=BINS)
    wanted = _filled(count, total, most)
    shown = np.empty(len(labels), dtype=np.int64)
    for bin_number in np.flatnonzero(count):
        rows = rng.permutation(np.flatnonzero(member == bin_number))
        each, more = divmod(int(wanted[bin_number]), len(rows))
        shown[rows] = each
        shown[rows[:more]] += 1
    return shown


def _filled(count: NDArray[np.int64], total: int, most: int) -> NDArray[np.int64]:
    """Images per bin at the greatest common height that needs no more than `total` images."""
    low, high = 0, int(total)
    while low < high:
        height = (low + high + 1) // 2
        if np.minimum(most * count, np.maximum(count, height)).sum() <= total:
            low = height
        else:
            high = height - 1
    return np.asarray(np.minimum(most * count, np.maximum(count, low)))
