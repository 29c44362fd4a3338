import numpy as np
import pytest
from numpy.typing import NDArray

from redden.errors import ModelCardError
from redden.modelcard import ModelCard, Target
from redden.posterior import PROBABILITIES, QUANTITIES, UNITS, exceedance, quantiles
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


def mixture_outputs(galaxies: int, components: int = 3, seed: int = 5) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    parts = outputs(galaxies * components, seed)
    return {
        "logits": rng.normal(size=(galaxies, components)).astype(np.float32),
        "mean": parts["mean"].reshape(galaxies, components, 3),
        "scale_tril": parts["scale_tril"].reshape(galaxies, components, 3, 3),
    }


def draws_of(found: dict[str, NDArray[np.float32]], count: int = 400_000) -> dict[str, NDArray[np.float64]]:
    """Samples of the joint posterior of the first galaxy."""
    rng = np.random.default_rng(0)
    weights = np.exp(found["logits"][0].astype(np.float64))
    which = rng.choice(len(weights), count, p=weights / weights.sum())
    normal = rng.normal(size=(count, 3))
    draws = found["mean"][0][which] + np.einsum("nij,nj->ni", found["scale_tril"][0][which], normal)
    a_v, e_bv = np.exp(draws[:, 0]), np.exp(draws[:, 1])
    return {"a_v": a_v, "e_bv": e_bv, "r_v": a_v / e_bv, "log_ssfr": draws[:, 2]}


def test_quantiles_and_exceedance_of_a_mixture_are_those_of_samples() -> None:
    model, found = card(posterior="mixture"), mixture_outputs(4)
    answer = quantiles(model, found)
    for name, values in draws_of(found).items():
        assert answer[name].shape == (4, 5)
        assert answer[name][0] == pytest.approx(np.quantile(values, PROBABILITIES), rel=0.015)
        x = float(np.quantile(values, 0.7))
        assert exceedance(model, found, name, x)[0] == pytest.approx(0.3, abs=0.03)


def test_a_mixture_of_equal_gaussians_is_a_gaussian() -> None:
    found = outputs(6)
    twice = {name: np.stack([values, values], axis=1) for name, values in found.items()}
    twice["logits"] = np.array([[0.0, 3.0]] * 6, dtype=np.float32)
    single, double = quantiles(card(), found), quantiles(card(posterior="mixture"), twice)
    for name in QUANTITIES:
        assert double[name] == pytest.approx(single[name], rel=1e-5)


@pytest.mark.parametrize("posterior", ["gaussian", "mixture"])
def test_levels_move_the_quantiles_and_the_exceedance_with_them(posterior: str) -> None:
    found = outputs(5) if posterior == "gaussian" else mixture_outputs(5)
    plain, moved = (card(posterior=posterior, levels=levels) for levels in (False, True))
    found["levels"] = np.tile(np.float32(PROBABILITIES), (5, 4, 1))
    found["levels"][:, 0] = (0.01, 0.16, 0.55, 0.9, 0.99)
    found["levels"][4, 0, 2] = 0.6
    before, after = quantiles(plain, found), quantiles(moved, found)
    assert np.all(after["a_v"][:, 0] < before["a_v"][:, 0])
    assert np.all(after["a_v"][:, 2:] > before["a_v"][:, 2:])
    assert after["a_v"][:, 1] == pytest.approx(before["a_v"][:, 1], rel=1e-5)
    assert after["r_v"] == pytest.approx(before["r_v"], rel=1e-5)
    for column, probability in enumerate(PROBABILITIES):
        assert exceedance(moved, found, "a_v", after["a_v"][:, column]) == pytest.approx(1 - probability, abs=1e-5)
    assert exceedance(moved, found, "a_v", 0.0) == pytest.approx(1)
    assert exceedance(moved, found, "a_v", -1.0) == pytest.approx(1)
    assert exceedance(moved, found, "a_v", 1e9) == pytest.approx(0)


def test_levels_that_the_card_does_not_promise_or_that_do_not_rise_are_refused() -> None:
    model, found = card(levels=True), outputs(2)
    with pytest.raises(ModelCardError, match="promises levels"):
        quantiles(model, found)
    rising = np.tile(np.float32(PROBABILITIES), (2, 4, 1))
    with pytest.raises(ModelCardError, match=r"levels of shape \(2, 3, 5\), not \(2, 4, 5\)"):
        exceedance(model, found | {"levels": rising[:, :3]}, "a_v", 1.0)
    for place, level in ((0, 0.0), (2, 0.1), (4, 1.0)):
        wrong = rising.copy()
        wrong[1, 3, place] = level
        with pytest.raises(ModelCardError, match="levels that do not rise between 0 and 1"):
            quantiles(model, found | {"levels": wrong})


def test_a_point_estimate_has_no_exceedance() -> None:
    assert np.isnan(exceedance(point_card(), {"mean": np.zeros((2, 3), np.float32)}, "a_v", 1.0)).tolist() == [True] * 2


def test_a_mixture_with_outputs_of_another_shape_is_refused() -> None:
    model, found = card(posterior="mixture"), mixture_outputs(2)
    for name in found:
        with pytest.raises(ModelCardError, match=f"answered {name} of shape .* no mixture posterior of the 3 targets"):
            quantiles(model, {**found, name: found[name][..., :-1]})


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
