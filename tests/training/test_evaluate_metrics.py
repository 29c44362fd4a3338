"""Figures of merit against values that are known."""

import numpy as np
import pytest

from redden.posterior import PROBABILITIES
from training.fit import best_scale
from training.metrics import Estimates, figures

RNG = np.random.default_rng(11)
DEVIATIONS = np.array([-1.959964, -0.994458, 0.0, 0.994458, 1.959964])


def gaussian(images: int, *, deviation: float, claimed: float) -> tuple[np.ndarray, np.ndarray]:
    """Truths scattered by `deviation` around medians whose intervals claim another one."""
    median = RNG.normal(size=images)
    return median + deviation * RNG.normal(size=images), median[:, None] + claimed * DEVIATIONS


def points(median: np.ndarray) -> np.ndarray:
    quantiles = np.full((len(median), len(PROBABILITIES)), np.nan)
    quantiles[:, 2] = median
    return quantiles


def test_errors_of_known_numbers() -> None:
    truth = np.tile([1.0, 2.0, 3.0, 4.0], 25)
    quantiles = points(truth + np.tile([0.5, 0.5, -0.5, 1.5], 25))
    result = figures(Estimates(truth, quantiles, np.arange(100), baseline=2.0), seed=0)
    values = {name: figure.value for name, figure in result.items()}
    assert values == pytest.approx(
        {
            "mae": 0.75,
            "mse": 0.75,
            "sigma": np.sqrt(0.5),
            "s2": 50 / 99,
            "bias": 0.5,
            "spread": np.sqrt(1.25),
            "median_mae": 1.0,
            "r2": 1 - 0.75 / 1.25,
            "skill": 0.25,
            "undefined": 0.0,
        }
    )


def test_always_saying_the_median_has_no_skill() -> None:
    truth = RNG.normal(size=500)
    result = figures(Estimates(truth, points(np.full(500, 0.1)), np.arange(500), baseline=0.1), seed=0)
    assert result["skill"].value == 0
    assert result["skill"].error == 0
    assert result["r2"].value <= 0


def test_coverage_of_a_right_and_of_a_bold_posterior() -> None:
    truth, quantiles = gaussian(20_000, deviation=0.5, claimed=0.5)
    right = figures(Estimates(truth, quantiles, np.arange(20_000), baseline=0.0), seed=0)
    assert right["coverage_68"].value == pytest.approx(0.68, abs=0.015)
    assert right["coverage_95"].value == pytest.approx(0.95, abs=0.01)
    truth, quantiles = gaussian(20_000, deviation=1.0, claimed=0.5)
    bold = figures(Estimates(truth, quantiles, np.arange(20_000), baseline=0.0), seed=0)
    assert bold["coverage_68"].value == pytest.approx(0.381, abs=0.015)


def test_copies_of_a_galaxy_do_not_shrink_the_error() -> None:
    truth, quantiles = gaussian(300, deviation=1.0, claimed=1.0)
    single = figures(Estimates(truth, quantiles, np.arange(300), baseline=0.0), seed=4)
    copies = figures(
        Estimates(np.repeat(truth, 9), np.repeat(quantiles, 9, axis=0), np.repeat(np.arange(300), 9), 0.0), seed=4
    )
    assert copies["mae"].error == pytest.approx(single["mae"].error)
    assert single["mae"].error == pytest.approx(np.abs(truth - quantiles[:, 2]).std() / np.sqrt(300), rel=0.3)


def test_images_without_an_estimate_are_counted_and_left_out() -> None:
    truth = np.tile([1.0, 2.0, 3.0, 4.0], 25)
    median = np.tile([1.0, np.nan, 3.0, 5.0], 25)
    result = figures(Estimates(truth, points(median), np.arange(100), 2.0), seed=0)
    assert result["undefined"].value == 0.25
    assert result["mae"].value == pytest.approx(1 / 3)
    nothing = figures(Estimates(truth, points(np.full(100, np.nan)), np.arange(100), 2.0), seed=0)
    assert {name: figure.value for name, figure in nothing.items()} == {"undefined": 1.0}


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.6])
def test_best_scale_finds_by_how_much_intervals_are_wrong(ratio: float) -> None:
    truth, quantiles = gaussian(20_000, deviation=ratio, claimed=1.0)
    assert best_scale(truth, quantiles) == pytest.approx(ratio, rel=0.03)
