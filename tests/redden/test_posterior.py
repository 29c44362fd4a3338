import numpy as np
import pytest
from numpy.typing import NDArray

from redden.errors import ModelCardError
from redden.modelcard import ModelCard, Target
from redden.posterior import PROBABILITIES, QUANTITIES, UNITS, quantiles
from tests.redden.test_modelcard import card


def outputs(galaxies: int, seed: int = 2) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    tril = np.tril(rng.normal(0, 0.2, (galaxies, 3, 3)))
    tril[:, range(3), range(3)] = rng.uniform(0.1, 0.5, (galaxies, 3))
    mean = rng.normal([0.0, -2.0, -8.3], 0.3, (galaxies, 3))
    return {"mean": mean.astype(np.float32), "scale_tril": tril.astype(np.float32)}


def sampled(found: dict[str, NDArray[np.float32]], widening: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The quantiles of the first galaxy by brute force."""
    normal = np.random.default_rng(0).normal(size=(400_000, 3))
    draws = found["mean"][0] + normal @ (widening[:, None] * found["scale_tril"][0]).T
    a_v, e_bv = np.exp(draws[:, 0]), np.exp(draws[:, 1])
    values = {"a_v": a_v, "e_bv": e_bv, "r_v": a_v / e_bv, "log_ssfr": draws[:, 2]}
    return {name: np.quantile(value, PROBABILITIES) for name, value in values.items()}


@pytest.mark.parametrize("scale", [{}, {"a_v": 1.4, "log_ssfr": 0.7}])
def test_quantiles_are_those_of_samples(scale: dict[str, float]) -> None:
    model = card(interval_scale=scale)
    found = outputs(4)
    widening = np.array([scale.get(name, 1.0) for name in ("a_v", "e_bv", "log_ssfr")])
    answer = quantiles(model, found)
    assert tuple(answer) == QUANTITIES == tuple(UNITS)
    for name, expected in sampled(found, widening).items():
        assert answer[name].shape == (4, 5)
        assert answer[name][0] == pytest.approx(expected, rel=0.01)


def test_quantiles_rise_and_dust_is_never_negative() -> None:
    answer = quantiles(card(), outputs(500))
    for name in QUANTITIES:
        assert np.all(np.diff(answer[name], axis=1) > 0)
    assert all(np.all(answer[name] > 0) for name in ("a_v", "e_bv", "r_v"))


def test_the_order_of_the_targets_is_that_of_the_card() -> None:
    found = outputs(3)
    turned = {"mean": found["mean"][:, ::-1], "scale_tril": found["scale_tril"]}
    model = card()
    backwards = model.model_copy(update={"targets": model.targets[::-1]})
    assert quantiles(backwards, turned)["a_v"][:, 2] == pytest.approx(quantiles(model, found)["a_v"][:, 2])


def point_card() -> ModelCard:
    return card(posterior="point", targets=tuple(Target(name=name) for name in ("a_v", "e_bv", "log_ssfr")))


def test_a_point_estimate_has_no_interval_and_r_v_is_the_ratio() -> None:
    mean = np.array([[1.0, 0.2, -8.0], [1.0, -0.01, -8.0]], dtype=np.float32)
    answer = quantiles(point_card(), {"mean": mean})
    assert answer["r_v"][0, 2] == pytest.approx(5.0)
    assert np.isnan(answer["r_v"][1, 2])
    assert np.isnan(answer["a_v"][:, [0, 1, 3, 4]]).all()
    assert answer["log_ssfr"][:, 2] == pytest.approx([-8.0, -8.0])


def test_shapes_that_the_card_does_not_promise_are_refused() -> None:
    with pytest.raises(ModelCardError, match=r"mean of shape \(2, 2\)"):
        quantiles(point_card(), {"mean": np.zeros((2, 2), dtype=np.float32)})
    with pytest.raises(ModelCardError, match="scale_tril of shape"):
        quantiles(card(), {"mean": np.zeros((2, 3), np.float32), "scale_tril": np.zeros((1, 3, 3), np.float32)})


def test_missing_outputs_are_refused() -> None:
    with pytest.raises(ModelCardError, match="answered scale_tril; its card, with a point posterior, promises mean"):
        quantiles(point_card(), {"scale_tril": np.zeros((2, 3, 3), np.float32)})
    with pytest.raises(ModelCardError, match="answered mean; its card, with a gaussian posterior, promises scale_tril"):
        quantiles(card(), {"mean": np.zeros((2, 3), np.float32)})


@pytest.mark.parametrize("name", ["mean", "scale_tril"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(name: str, number: float) -> None:
    found = outputs(2)
    found[name].flat[-1] = number
    with pytest.raises(ModelCardError, match=f"{name} with numbers that are not finite"):
        quantiles(card(), found)
