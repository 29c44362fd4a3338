"""Quantile regression: the loss is least at the quantiles, and a head finds those that depend on what it sees."""

import keras
import numpy as np
import pytest
from keras import layers

from training.heads import FARTHEST, fit_head, pinball_loss, standardised

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("probability", [0.025, 0.3, 0.84, 0.99])
def test_the_loss_is_least_at_the_quantile(probability: float) -> None:
    truths = np.random.default_rng(0).random(20_000).astype(np.float32) ** 2
    tried = np.linspace(0, 1, 201, dtype=np.float32)
    losses = [np.asarray(pinball_loss(probability)(truths, np.full_like(truths, level))).mean() for level in tried]
    assert tried[np.argmin(losses)] == pytest.approx(np.quantile(truths, probability), abs=0.015)


def test_a_head_finds_quantiles_that_depend_on_what_it_looks_at() -> None:
    rng = np.random.default_rng(1)
    seen = rng.uniform(-1, 1, (4000, 2)).astype(np.float32)
    truths = (3 * seen[:, 0] + 5 * seen[:, 1] + rng.normal(size=4000)).astype(np.float32)
    given = keras.Input((2,))
    looked_at = np.array([True, False])
    head = keras.Model(given, layers.Dense(2)(standardised(given, seen, looked_at)))
    fit_head(head, seen, truths[:, None], pinball_loss((0.16, 0.84)), learning_rate=0.1, epochs=20, batch=500)
    low, high = head.predict(seen, verbose=0).T
    assert (truths < low).mean() == pytest.approx(0.16, abs=0.02)
    assert (truths < high).mean() == pytest.approx(0.84, abs=0.02)
    assert np.corrcoef(low, seen[:, 0])[0, 1] > 0.999  # of the other column it knows nothing
    far = head.predict(np.float32([[1e6, 0], [1e7, 0]]), verbose=0)
    assert far[0] == pytest.approx(far[1])
    assert np.abs(far).max() < 10 * FARTHEST
