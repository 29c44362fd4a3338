"""A fitted network or ensemble as a teacher: its posteriors instead of single truths, for a smaller network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras
import tensorflow as tf

from redden.bands import BANDS
from redden.errors import ModelCardError
from redden.signature import LOGITS, MEAN, SCALE_TRIL
from training.domain_run import read_network
from training.fit import read_run_card
from training.networks.redden import negative_log_likelihood

DRAWS: Final = 4
"""Draws from the teacher's posterior of a galaxy in each step."""
TAUGHT: Final = 0.5
"""Share of the loss that is of the teacher's draws; the rest is of the truth, so that its mistakes are not learned."""


class Teacher:
    """What a fitted network says of the galaxies of a step.

    The truth of a galaxy is one draw from what its image allows, and such draws scatter; a posterior says at once what
    many galaxies like it would teach (distillation: Hinton, Vinyals & Dean 2015, arXiv:1503.02531).

    Parameters
    ----------
    network : keras.Model
        From ``pixels`` and ``context`` to a mixture of Gaussians, as of `training.networks.redden.build`.
    trained_with : dict
        How it was fitted, for the card of the pupil.
    """

    def __init__(self, network: keras.Model, trained_with: dict[str, Any]) -> None:
        self._network = network
        self.trained_with = trained_with

    def loss(self, inputs: Sequence[tf.Tensor], logits: tf.Tensor, mean: tf.Tensor, scale_tril: tf.Tensor) -> tf.Tensor:
        """Mean negative log likelihood of draws from the teacher's posteriors under the answers of a pupil.

        Parameters
        ----------
        inputs : (tensor, tensor)
            Pixels and context.
        logits : tensor, shape (galaxies, components)
        mean : tensor, shape (galaxies, components, targets)
        scale_tril : tensor, shape (galaxies, components, targets, targets)
        """
        known = self._network(list(inputs), training=False)
        chosen = tf.random.categorical(known[LOGITS], DRAWS)
        centre = tf.gather(known[MEAN], chosen, batch_dims=1)
        spread = tf.gather(known[SCALE_TRIL], chosen, batch_dims=1)
        drawn = centre + tf.linalg.matvec(spread, tf.random.normal(tf.shape(centre)))
        losses = [negative_log_likelihood(drawn[:, each], logits, mean, scale_tril) for each in range(DRAWS)]
        return tf.reduce_mean(tf.stack(losses))


def read_teacher(run: Path, data_sha256: str, split_seed: int) -> Teacher:
    """The network of a run or ensemble, if it has learned from the galaxies that its pupil is to learn from.

    Parameters
    ----------
    run : Path
        Of the redden model.
    data_sha256 : str
        Hash of the data set of the pupil.
    split_seed : int
        Of its split.

    Raises
    ------
    ModelCardError
        If it is no such run, or was fitted to other galaxies: what it says of those it learned from and of others
        differs, and galaxies that are held out here may be among those that it knows.
    """
    card = read_run_card(run)
    fitted_to = card.trained_on.get("sha256"), card.trained_on.get("split_seed")
    if fitted_to != (data_sha256, split_seed) or card.bands != tuple(BANDS):
        raise ModelCardError(
            f"{run} cannot teach here: it must be fitted to the same data set and split, in all seven bands. "
            "Fit it with `redden-train fit redden` and the same --data."
        )
    return Teacher(read_network(run, card), card.trained_with)
