"""Several fitted networks as one network: the mixture of their posteriors, in one graph."""

from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from redden.signature import CONTEXT, DOMAIN, LOGITS, MEAN, PIXELS, SCALE_TRIL
from training.domain import with_domain
from training.fit import NETWORK_FILE, read_run_card
from training.networks.redden import STRANGENESS


def ensemble(runs: Sequence[Path], out: Path) -> ModelCard:
    """Join runs of the redden model into one run whose posterior is the mean of theirs.

    Its graph holds all networks, so it costs as much as they do together. Levels and domain score of a member say
    nothing of the whole: it is to be calibrated like a run that was just fitted.

    Parameters
    ----------
    runs : sequence of Path
        Two runs or more, fitted to one split of one data set, with other seeds.
    out : Path
        Directory of the run that is written: network and card.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelCardError
        If there are fewer than two, or runs that cannot be joined.
    """
    cards = [read_run_card(run) for run in runs]
    if len(cards) < 2:
        raise ModelCardError("an ensemble has two runs or more.")
    for run, card in zip(runs, cards, strict=True):
        if card.posterior != "mixture":
            raise ModelCardError(f"{run} has no mixture as its posterior; only runs of the redden model can be joined.")
        if _alike(card) != _alike(cards[0]):
            raise ModelCardError(
                f"{run} and {runs[0]} differ in bands, data set or split: galaxies that tested one were learned by the "
                "other. Fit both to the same data set, with the split seed of the same configuration."
            )
    network = join([keras.models.load_model(run / NETWORK_FILE) for run in runs])
    card = cards[0].model_copy(
        update={
            "interval_scale": {},
            "levels": {},
            "domain": None,
            "figures_of_merit": {},
            "trained_on": {name: value for name, value in cards[0].trained_on.items() if name != "levels"},
            "trained_with": {"ensemble": [card.trained_with for card in cards]},
        }
    )
    out.mkdir(parents=True, exist_ok=True)
    network.save(out / NETWORK_FILE)
    card.write(out)
    return card


def join(networks: Sequence[keras.Model]) -> keras.Model:
    """One network whose mixture has the components of all, each network's with an equal share of the weight.

    Parameters
    ----------
    networks : sequence of keras.Model
        Of `training.networks.redden.build`.
    """
    shapes = {tensor.name: tensor.shape[1:] for tensor in networks[0].inputs}
    inputs = [keras.Input(shapes[name], name=name) for name in (PIXELS, CONTEXT)]
    answers = []
    for number, network in enumerate(networks):
        plain = with_domain(network)  # without the usual level, which is another one for the whole
        answers.append(keras.Model(plain.inputs, plain.output, name=f"member_{number}")(inputs))
    # Of softmax's numbers only differences count, and logarithms of shares that sum to 1 in each network keep it so.
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
    return card.bands, card.normalisation, card.targets, card.trained_on.get("sha256"), card.trained_on["split_seed"]
