from pathlib import Path

import numpy as np
import pytest

from redden.modelinput import model_inputs
from redden.posterior import quantiles
from training.observe import ObservationPrior
from training.predict import open_model
from training.reproduce import small_sample, small_scenes
from training.rivals.mocks import Mocks

MODEL = Path(__file__).parents[2] / "models/redden/1"


def test_the_committed_model_answers_galaxies_made_again_as_its_card_says() -> None:
    card, predict = open_model(MODEL)
    figures = small_sample(card, predict)
    expected = card.figures_of_merit["sample"]
    # A galaxy at the threshold of detection may fall on the other side with other libraries.
    assert figures.pop("images") == pytest.approx(expected.pop("images"), abs=1)
    assert figures == pytest.approx(expected, rel=0.02)


def test_the_fainter_a_galaxy_is_the_wider_are_its_intervals() -> None:
    card, predict = open_model(MODEL)
    scenes = small_scenes(card)
    widths: dict[float, dict[float, float]] = {}
    for depth in (28.6, 29.8):
        mocks = Mocks.observe(scenes, ObservationPrior(depth=(depth, depth)), seed=0, most=len(scenes))
        answer = quantiles(card, predict(model_inputs(mocks.pixels, card, mocks.redshift)))["log_ssfr"]
        # No two scenes have the same A_V, so it names them.
        widths[depth] = dict(zip(mocks.truth["a_v"].tolist(), (answer[:, 3] - answer[:, 1]).tolist(), strict=True))
    wider = [width / widths[29.8][scene] for scene, width in widths[28.6].items() if scene in widths[29.8]]
    assert len(wider) > 10
    assert np.median(wider) > 1.04
    assert np.mean(np.array(wider) > 1) > 0.6
