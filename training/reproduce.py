"""A few galaxies made again from the seeds in a model's card: does the model still answer what its card says?"""

from typing import Final

import numpy as np

from redden.modelcard import ModelCard
from redden.modelinput import model_inputs
from redden.posterior import PROBABILITIES, QUANTITIES, quantiles
from training.dataset import split
from training.observe import ObservationPrior
from training.predict import Predict
from training.rivals.mocks import Mocks
from training.scene_set import SceneSet
from training.simulate.scenes import scenes_of
from training.simulate.settings import Scenes

GALAXIES: Final = 80
"""The first so many test galaxies are simulated."""
SEED: Final = 80
"""Of their observation."""

_MEDIAN: Final = PROBABILITIES.index(0.5)


def small_sample(card: ModelCard, predict: Predict) -> dict[str, float]:
    """Simulate test galaxies of a redden model, observe them in all bands with their redshifts, and measure them.

    Parameters
    ----------
    card : ModelCard
        Card with the settings of the scenes, of their observation, and the seed of the split.
    predict : callable
        From inputs to outputs, see `training.predict`.

    Returns
    -------
    dict of str to float
        ``images``, and of each quantity the mean of the medians, ``mean_NAME``, the mean absolute error, ``mae_NAME``,
        and the mean width of the 68 % interval, ``width_NAME``.
    """
    scenes = small_scenes(card)
    prior = ObservationPrior.model_validate(card.trained_on["observation"])
    mocks = Mocks.observe(scenes, prior, seed=SEED, most=len(scenes))
    answer = quantiles(card, predict(model_inputs(mocks.pixels, card, mocks.redshift)))
    figures = {"images": float(len(mocks))}
    for name in QUANTITIES:
        low, median, high = answer[name][:, [_MEDIAN - 1, _MEDIAN, _MEDIAN + 1]].T
        figures |= {
            f"mean_{name}": float(median.mean()),
            f"mae_{name}": float(np.abs(median - mocks.truth[name]).mean()),
            f"width_{name}": float((high - low).mean()),
        }
    return figures


def small_scenes(card: ModelCard) -> SceneSet:
    """The scenes of the first test galaxies of a redden model."""
    settings = Scenes.model_validate(card.trained_on["settings"])
    everyone = np.arange(settings.galaxies)
    chosen = everyone[split(everyone, card.trained_on["split_seed"]) == "test"][:GALAXIES]
    batches = [scenes_of(settings, range(number, number + 1))[2] for number in chosen]
    rows = {name: np.concatenate([batch[name] for batch in batches if len(batch["galaxy"])]) for name in batches[0]}
    truth = {name: rows[name].astype(np.float64) for name in (*QUANTITIES, "z")}
    return SceneSet(settings.observation.bands, rows["images"].astype(np.float16), truth, rows["galaxy"])
