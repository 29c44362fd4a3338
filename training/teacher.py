"""A fitted network or ensemble as a teacher: its posteriors instead of single truths, for a smaller network."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import keras
import tensorflow as tf

from redden.bands import BANDS
from redden.errors import ModelCardError
from redden.photometric import PHOTOMETRIC
from redden.signature import LOGITS, MEAN, SCALE_TRIL
from training.domain_run import read_network
from training.fit import NETWORK_FILE, read_run_card
from training.networks.redden import negative_log_likelihood

DRAWS: Final = 4
"""Draws from the teacher's posterior of a galaxy in each step."""
TAUGHT: Final = 0.5
"""Share of the loss that is of the teacher's draws; the rest is of the truth, so that a pupil learns half of a
teacher's mistakes at most."""

_INPUT: Final = {"bands": tuple(BANDS), "normalisation": PHOTOMETRIC}
"""What a pupil sees."""


class Teacher:
    """What a fitted network says of the galaxies of a step.

    The truth of a galaxy is one draw from what its image allows, and such draws scatter; a posterior says at once what
    many galaxies like it would teach (distillation: Hinton, Vinyals & Dean 2015, arXiv:1503.02531).

    Parameters
    ----------
    network : keras.Model
        From ``pixels`` and ``context`` to a mixture of Gaussians, as of `training.networks.redden.build`.
    facts : dict
        Which network it is, for the card of the pupil.
    """

    def __init__(self, network: keras.Model, facts: dict[str, Any]) -> None:
        self._network = network
        self.facts = facts | {"draws": DRAWS, "share_of_the_loss": TAUGHT}

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
        drawn = tf.stop_gradient(centre + tf.linalg.matvec(spread, tf.random.normal(tf.shape(centre))))
        losses = [negative_log_likelihood(drawn[:, each], logits, mean, scale_tril) for each in range(DRAWS)]
        return tf.reduce_mean(tf.stack(losses))


def read_teacher(run: Path, fitted_to: Mapping[str, Any]) -> Teacher:
    """The network of a run or ensemble, if it has learned from what its pupil is to learn from.

    Parameters
    ----------
    run : Path
        Of the redden model.
    fitted_to : mapping of str to object
        What `ModelCard.trained_on` of the pupil will say of the data set, its split, and how it is observed.

    Raises
    ------
    ModelCardError
        If it is no such run, or was fitted to something else: galaxies that are held out here may be among those that
        it knows, and of other noise it says too much or too little.
    """
    card = read_run_card(run)
    other = [name for name, value in fitted_to.items() if card.trained_on.get(name) != value]
    other += [name for name, value in _INPUT.items() if getattr(card, name) != value]
    if other:
        raise ModelCardError(
            f"{run} cannot teach this network: its {', '.join(other)} differ. Fit both to the same data set, with the "
            "same split, observation and bands."
        )
    network = run / NETWORK_FILE
    teacher = read_network(run, card)
    facts = {"name": card.name, "sha256": hashlib.sha256(network.read_bytes()).hexdigest()}
    return Teacher(teacher, facts | {"trained_with": card.trained_with})
