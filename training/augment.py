"""Random flips and quarter turns of training images: on the sky, no orientation is preferred."""

import keras
import numpy as np
from numpy.typing import NDArray


class TurnedBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Shuffled batches, every image in one of the eight symmetries of a square, drawn anew in every epoch.

    Parameters
    ----------
    pixels : ndarray of float32, shape (images, side, side, bands)
    labels : ndarray of float32, shape (images, targets)
    batch_size : int
        Images per batch; the last one may be smaller.
    seed : int
        The same seed gives the same batches.
    """

    def __init__(self, pixels: NDArray[np.float32], labels: NDArray[np.float32], *, batch_size: int, seed: int) -> None:
        super().__init__()
        self._pixels = pixels
        self._labels = labels
        self._batch_size = batch_size
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._pixels) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        batch = slice(index * self._batch_size, (index + 1) * self._batch_size)
        rows = self._order[batch]
        return turn(self._pixels[rows], self._symmetry[batch]), self._labels[rows]

    def on_epoch_end(self) -> None:
        """Draw the order and the symmetries of the next epoch."""
        self._order = self._rng.permutation(len(self._pixels))
        self._symmetry = self._rng.integers(8, size=len(self._pixels))


def turn(pixels: NDArray[np.float32], symmetry: NDArray[np.integer]) -> NDArray[np.float32]:
    """Flip and transpose images.

    Parameters
    ----------
    pixels : ndarray of float32, shape (images, side, side, bands)
    symmetry : ndarray of int, shape (images,)
        0 to 7; bit 0 flips the rows, bit 1 the columns, bit 2 exchanges the two axes.

    Returns
    -------
    ndarray of float32, same shape
        A copy.
    """
    turned = pixels.copy()
    flip_y, flip_x, transpose = ((symmetry & bit) > 0 for bit in (1, 2, 4))
    turned[flip_y] = turned[flip_y, ::-1]
    turned[flip_x] = turned[flip_x, :, ::-1]
    turned[transpose] = turned[transpose].swapaxes(1, 2)
    return turned
