"""The paper's augmentation: turned, mirrored, noisier and HOG copies of the images, more where labels are rare."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from redden.normalise import each_band
from training.paper.balance import copies
from training.paper.hog import hog_images
from training.symmetry import turn

Pixels = NDArray[np.float32]

TURNS: Final = {"90 degrees": 6, "180 degrees": 3, "270 degrees": 5, "flip in x": 2, "flip in y": 1}
"""The symmetries of `training.symmetry.turn` that the paper used."""

NOISE: Final = len(TURNS) + 1
"""Number of the copy with more noise; 0 is the image itself, 1 to 5 are its turns."""
HOG: Final = NOISE + 1
"""Number of the copy that shows its histogram of oriented gradients."""


FACTOR: Final = 25_208 / 6_620
"""With this many times as many images the paper trained."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What copies are made of training images.

    Attributes
    ----------
    factor : float
        How many images there are with all copies, over how many there are.
    balanced : bool
        Whether copies make the labels as even as they can; otherwise all images are shown as often.
    hog : bool
        Whether one of the copies is the histogram of oriented gradients.
    noise : float
        Standard deviation of the noise that is added, in units of the range of an image (0...1).
    """

    factor: float = FACTOR
    balanced: bool = True
    hog: bool = True
    noise: float = 0.02

    def plan(
        self, labels: NDArray[np.floating], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which images are shown, and which copy of each.

        Parameters
        ----------
        labels : ndarray, shape (images,)

        Returns
        -------
        rows : ndarray of int64, shape (copies,)
            Numbers of the images, rising.
        kinds : ndarray of int64, shape (copies,)
            0 for the image itself, which is always shown, then without repetition what `TURNS`, `NOISE` and `HOG` say.
        """
        kinds = 1 + (HOG if self.hog else NOISE)
        even = labels if self.balanced else np.zeros_like(labels)
        shown = copies(even, round(self.factor * len(labels)), most=kinds, rng=rng)
        order = np.argsort(rng.random((len(labels), kinds - 1)), axis=1) + 1
        order = np.concatenate([np.zeros((len(labels), 1), dtype=np.int64), order], axis=1)
        chosen = np.arange(kinds) < shown[:, None]
        return np.repeat(np.arange(len(labels)), shown), order[chosen]

    def make(self, pixels: Pixels, kinds: NDArray[np.int64], rng: np.random.Generator) -> Pixels:
        """Make copies of images.

        Parameters
        ----------
        pixels : ndarray of float32, shape (copies, side, side, bands)
            The images, each scaled to 0...1.
        kinds : ndarray of int64, shape (copies,)
            See `plan`.

        Returns
        -------
        ndarray of float32, same shape
            Each scaled to 0...1 again.
        """
        symmetry = np.array([0, *TURNS.values(), 0, 0])[kinds]
        made = turn(pixels, symmetry)
        noisy, drawn = kinds == NOISE, kinds == HOG
        if noisy.any():
            made[noisy] = each_band(made[noisy] + rng.normal(0, self.noise, made[noisy].shape).astype(np.float32))
        if drawn.any():
            made[drawn] = hog_images(made[drawn])
        return made

    def batches(self, pixels: Pixels, labels: NDArray[np.float32], *, batch_size: int, seed: int) -> tf.data.Dataset:
        """The augmented images in batches, shuffled anew in every epoch; of several labels, the first is made even."""
        rng = np.random.default_rng(seed)
        rows, kinds = self.plan(labels[:, 0], rng)
        images, beside = tf.constant(self.make(pixels[rows], kinds, rng)), tf.constant(labels[rows])
        order = tf.data.Dataset.range(len(rows)).shuffle(len(rows), seed=seed).batch(batch_size)
        return order.map(lambda chosen: (tf.gather(images, chosen), tf.gather(beside, chosen)))
