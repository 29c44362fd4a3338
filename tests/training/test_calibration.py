"""Coverage, PIT and TARP on posteriors whose faults are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from redden.modelcard import ModelCard
from redden.posterior import quantiles
from redden.signature import LOGITS, MEAN, SCALE_TRIL
from training.calibration import (
    CREDIBILITIES,
    coordinates,
    coverage,
    coverage_curve,
    coverage_in_bins,
    draw,
    pit,
    tarp,
)

IMAGES = 6000
CARD = ModelCard.model_validate(
    json.loads((Path(__file__).parents[2] / "models/gaussian-3band/1/model_card.json").read_text(encoding="utf-8"))
    | {"interval_scale": {}, "posterior": "mixture"}
)


def posterior(boldness: float, shift: float = 0.0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Outputs of two equal components and truths: widths are too small by a factor, means too high."""
    rng = np.random.default_rng(3)
    mean = rng.normal([0, -2, -8.2], [0.5, 0.4, 0.2], (IMAGES, 3))
    scale_tril = np.tile(np.array([[0.3, 0, 0], [0.2, 0.1, 0], [0.02, 0.03, 0.1]]), (IMAGES, 1, 1))
    drawn = mean + (scale_tril @ rng.normal(size=(IMAGES, 3, 1)))[..., 0]
    outputs = {
        LOGITS: np.zeros((IMAGES, 2), np.float32),
        MEAN: np.repeat((mean + shift)[:, None], 2, axis=1).astype(np.float32),
        SCALE_TRIL: np.repeat(scale_tril[:, None] / boldness, 2, axis=1).astype(np.float32),
    }
    truth = {"a_v": np.exp(drawn[:, 0]), "e_bv": np.exp(drawn[:, 1]), "log_ssfr": drawn[:, 2]}
    return outputs, truth | {"r_v": truth["a_v"] / truth["e_bv"]}


def test_a_right_posterior_is_found_right() -> None:
    outputs, truth = posterior(1.0)
    ranks = pit(CARD, outputs, truth)
    answer = quantiles(CARD, outputs)
    galaxy = np.arange(IMAGES)
    for name, values in ranks.items():
        assert np.histogram(values, 10, (0, 1))[0] == pytest.approx(IMAGES / 10, rel=0.15)
        held = coverage(truth[name], answer[name], galaxy)
        assert held.held_68.value == pytest.approx(0.68, abs=0.025)
        assert held.held_95.value == pytest.approx(0.95, abs=0.012)
        assert held.held_68.error == pytest.approx(np.sqrt(0.68 * 0.32 / IMAGES), rel=0.05)
        assert coverage_curve(values, galaxy).held == pytest.approx(CREDIBILITIES, abs=0.03)


def test_images_of_one_galaxy_count_as_one() -> None:
    truth = np.random.default_rng(0).normal(size=500)
    intervals = np.tile([-2.0, -1, 0, 1, 2], (500, 1))
    single = coverage(truth, intervals, np.arange(500))
    copies = coverage(np.repeat(truth, 4), np.repeat(intervals, 4, axis=0), np.repeat(np.arange(500), 4))
    assert copies.held_68 == pytest.approx(single.held_68)
    assert (copies.images, copies.galaxies) == (2000, 500)
    assert copies.width_68 == 2.0


def test_bins_hold_what_belongs_in_them() -> None:
    truth, values = np.zeros(6), np.array([5.0, 7.9, 8, 12, 30, 500])
    intervals = np.tile([-1.0, -1, 0, 1, 1], (6, 1))
    intervals[:2] += 3
    bins = coverage_in_bins(truth, intervals, np.arange(6), values, (5, 8, 12, 12.5, 13, np.inf))
    assert {name: (found.images, found.held_68.value) for name, found in bins.items()} == {
        "5-8": (2, 0.0),
        "8-12": (1, 1.0),
        "12-12.5": (1, 1.0),
        ">= 13": (2, 1.0),
    }


def test_samples_have_the_moments_of_the_mixture() -> None:
    weights, mean = np.array([0.2, 0.8]), np.array([[0.0, 0, 0], [1.0, 2, 3]])
    factor = np.array([[1.0, 0, 0], [0.5, 0.4, 0], [0.1, 0.2, 0.3]])
    outputs = {
        LOGITS: np.log(weights)[None].astype(np.float32),
        MEAN: mean[None].astype(np.float32),
        SCALE_TRIL: np.stack([factor, 2 * factor])[None].astype(np.float32),
    }
    samples = draw(outputs, 40_000, np.random.default_rng(0))
    centre = weights @ mean
    spread = 0.2 * factor @ factor.T + 0.8 * 4 * factor @ factor.T
    spread += sum(w * np.outer(m - centre, m - centre) for w, m in zip(weights, mean, strict=True))
    assert samples.shape == (1, 40_000, 3)
    assert samples[0].mean(axis=0) == pytest.approx(centre, abs=0.04)
    assert np.cov(samples[0].T) == pytest.approx(spread, abs=0.1)


@pytest.mark.parametrize("at_once", [700, 8192])
def test_tarp_tells_a_right_joint_posterior_from_a_bold_one(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.calibration._DRAWN_AT_ONCE", at_once)
    galaxy = np.arange(IMAGES)
    curves = {}
    for boldness in (1.0, 2.0):
        outputs, truth = posterior(boldness)
        curves[boldness] = tarp(outputs, coordinates(CARD, truth), galaxy, draws=100, seed=2)
    middle = slice(5, 36)
    assert curves[1.0].held[middle] == pytest.approx(CREDIBILITIES[middle], abs=0.03)
    # Truths lie too often outside of regions that are too small.
    tails = CREDIBILITIES.index(0.05), CREDIBILITIES.index(0.95)
    assert curves[2.0].held[tails[0]] > 0.09
    assert curves[2.0].held[tails[1]] < 0.91
