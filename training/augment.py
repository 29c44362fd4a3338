"""Random flips and quarter turns of training images: on the sky, no orientation is preferred."""

import keras
import numpy as np
from numpy.typing import NDArray

from training.symmetry import turn


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
