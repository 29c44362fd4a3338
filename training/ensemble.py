"""Several fitted networks as one network: the mixture of their posteriors, in one graph."""

from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.signature import DOMAIN, LOGITS, MEAN, SCALE_TRIL
from training.domain import with_domain
from training.domain_run import read_network
from training.fit import NETWORK_FILE, read_run_card
from training.levels import with_levels
from training.networks.redden import STRANGENESS


def ensemble(runs: Sequence[Path], out: Path) -> ModelCard:
    """Join runs of the redden model into one run whose posterior is the mean of theirs.

    Its graph holds all networks, so it costs as much as they do together. Levels and domain score of a member say
    nothing of the whole: it is to be calibrated like a run that was just fitted.

    Parameters
    ----------
    runs : sequence of Path
        Two different runs or more, fitted to the same data set, split and observation, with other seeds or shapes.
    out : Path
        Directory of the run that is written: network and card; none of `runs`.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelCardError
        If there are fewer than two, or runs that cannot be joined.
    """
    places = {path.resolve() for path in runs}
    if len(places) < 2 or len(places) < len(runs) or out.resolve() in places:
        raise ModelCardError("an ensemble has two different runs or more, and is written into a directory of its own.")
    cards = [read_run_card(run) for run in runs]
    for run, card in zip(runs, cards, strict=True):
        if _alike(card) != _alike(cards[0]):
            raise ModelCardError(
                f"{run} and {runs[0]} were not fitted alike: data set, split, observation, bands, normalisation and "
                "targets must be equal. Fit both with the same configuration and data, and another `--seed`."
            )
    network = mixture_of([read_network(run, card) for run, card in zip(runs, cards, strict=True)])
    card = cards[0].model_copy(
        update={
            "interval_scale": {},
            "levels": False,
            "domain": None,
            "figures_of_merit": {},
            "trained_with": {"ensemble": [card.trained_with for card in cards]},
        }
    )
    out.mkdir(parents=True, exist_ok=True)
    network.save(out / NETWORK_FILE)
    card.write(out)
    return card


def mixture_of(networks: Sequence[keras.Model]) -> keras.Model:
    """One network whose mixture has the components of all, each network's with an equal share of the weight.

    Parameters
    ----------
    networks : sequence of keras.Model
        Of `training.networks.redden.build`; levels and the usual level of the domain score are left out.

    Returns
    -------
    keras.Model
        From ``pixels`` and ``context`` to ``logits``, shape (galaxies, components of all), ``mean`` and ``scale_tril``
        with as many components, and ``domain``, shape (galaxies,), the mean of theirs.
    """
    inputs = [keras.Input(tensor.shape[1:], name=tensor.name) for tensor in networks[0].inputs]
    answers = []
    for number, network in enumerate(networks):
        plain = with_levels(with_domain(network))  # without usual level and levels, which are others for the whole
        answers.append(keras.Model(plain.inputs, plain.output, name=f"member_{number}")(inputs))
    # log_softmax gives each network a total weight of 1, so that the softmax of all shares it equally.
    shares = [layers.Activation("log_softmax")(answer[LOGITS]) for answer in answers]
    return keras.Model(
        inputs,
        {
            LOGITS: layers.Concatenate(axis=1, name=LOGITS)(shares),
            MEAN: layers.Concatenate(axis=1, name=MEAN)([answer[MEAN] for answer in answers]),
            SCALE_TRIL: layers.Concatenate(axis=1, name=SCALE_TRIL)([answer[SCALE_TRIL] for answer in answers]),
            DOMAIN: layers.Average(name=STRANGENESS)([answer[DOMAIN] for answer in answers]),
        },
        name="redden",
    )


def _alike(card: ModelCard) -> tuple[object, ...]:
    """What the members of an ensemble must share."""
    fitted_to = [card.trained_on.get(name) for name in ("sha256", "split_seed", "observation", "least_snr")]
    return card.bands, card.normalisation, card.targets, fitted_to
