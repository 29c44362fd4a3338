"""The networks' graphs, before any fit."""

import keras
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from redden.signature import OUTPUTS
from training.networks import RECIPES, Network
from training.networks.gaussian import negative_log_likelihood

RNG = np.random.default_rng(5)
LABELS = RNG.normal([0.2, -1.8, -8.2], [0.8, 0.4, 0.16], size=(500, 3)).astype(np.float32)


def build(name: str) -> Network:
    keras.utils.set_random_seed(1)
    recipe = RECIPES[name]
    return recipe.build(recipe.bands, [target.name for target in recipe.targets], LABELS)


def pixels(name: str, images: int) -> np.ndarray:
    return RNG.normal(size=(images, 32, 32, len(RECIPES[name].bands))).astype(np.float32)


@pytest.mark.parametrize("name", RECIPES)
def test_serving_model_answers_the_outputs_of_its_posterior(name: str) -> None:
    network = build(name)
    answer = network.serving(pixels(name, 5))
    assert network.serving.input.name == "pixels"
    assert set(answer) == set(OUTPUTS[RECIPES[name].posterior])
    assert answer["mean"].shape == (5, 3)


def test_paper_network_is_one_network_per_target_merged_in_order() -> None:
    network = build("paper-3band")
    images = pixels("paper-3band", 4)
    merged = network.serving(images)["mean"]
    for part, target in zip(network.parts, RECIPES["paper-3band"].targets, strict=True):
        assert part.name == target.name
        np.testing.assert_array_equal(merged[:, part.columns], part.model(images))
    variables = [{id(weight) for weight in part.model.weights} for part in network.parts]
    assert variables[0].isdisjoint(variables[1])


def test_paper_network_has_three_convolutions_per_band_and_four_dense_layers() -> None:
    layers = [type(layer).__name__ for layer in build("paper-3band").parts[0].model.layers]
    assert layers.count("Conv2D") == layers.count("BatchNormalization") == layers.count("MaxPooling2D") == 9
    assert layers.count("Dense") == 5  # the fifth is the output
    assert layers[-2:] == ["Dropout", "Dense"]


def test_each_band_of_the_paper_network_has_convolutions_of_its_own() -> None:
    one, three = (build(name).parts[0].model for name in ("paper-1band", "paper-3band"))
    convolutions = [
        sum(layer.count_params() for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
        for model in (one, three)
    ]
    assert convolutions[1] == 3 * convolutions[0]


@pytest.mark.parametrize("brightness", [0.0, 1.0, 1e4])
def test_scale_tril_is_a_cholesky_factor_whatever_the_image(brightness: float) -> None:
    scale_tril = build("gaussian-3band").serving(brightness * pixels("gaussian-3band", 20))["scale_tril"].numpy()
    assert np.isfinite(scale_tril).all()
    assert (np.diagonal(scale_tril, axis1=1, axis2=2) > 0).all()
    assert (scale_tril[:, *np.triu_indices(3, 1)] == 0).all()


def test_gaussian_answers_in_the_labels_units() -> None:
    answer = build("gaussian-3band").serving(np.zeros((1, 32, 32, 3), np.float32))
    deviation = np.linalg.norm(answer["scale_tril"][0], axis=-1)
    assert np.all(np.abs(answer["mean"][0] - LABELS.mean(axis=0)) < 3 * LABELS.std(axis=0))
    np.testing.assert_allclose(deviation / LABELS.std(axis=0), np.log(2), rtol=0.2)  # softplus(0)


def test_negative_log_likelihood_is_that_of_scipy_without_the_constant() -> None:
    scale_tril = np.tril(RNG.normal(size=(6, 3, 3))) * (1 - np.eye(3)) + np.eye(3) * RNG.uniform(0.1, 2, (6, 1, 3))
    mean, labels = RNG.normal(size=(2, 6, 3))
    answer = np.concatenate([mean, scale_tril.reshape(6, 9)], axis=1).astype(np.float32)
    expected = [
        -multivariate_normal(m, factor @ factor.T).logpdf(label) - 1.5 * np.log(2 * np.pi)
        for m, factor, label in zip(mean, scale_tril, labels, strict=True)
    ]
    loss = negative_log_likelihood(keras.ops.convert_to_tensor(labels.astype(np.float32)), answer)
    np.testing.assert_allclose(loss, expected, rtol=1e-3)
