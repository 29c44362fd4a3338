from pathlib import Path

import pytest

from training.predict import open_model
from training.reproduce import small_sample

MODEL = Path(__file__).parents[2] / "models/redden/1"


def test_the_committed_model_answers_galaxies_made_again_as_its_card_says() -> None:
    card, predict = open_model(MODEL)
    figures = small_sample(card, predict)
    expected = card.figures_of_merit["sample"]
    # A galaxy at the threshold of detection may fall on the other side with other libraries.
    assert figures.pop("images") == pytest.approx(expected.pop("images"), abs=1)
    assert figures == pytest.approx(expected, rel=0.02)
