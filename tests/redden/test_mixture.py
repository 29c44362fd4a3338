import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redden.mixture import mixture_cdf, mixture_quantiles

PROBABILITIES = (0.025, 0.16, 0.5, 0.84, 0.975)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    components=st.integers(1, 9),
    apart=st.sampled_from([0.0, 0.3, 5.0, 100.0]),
    mixtures=st.sampled_from([1, 3, 50]),
)
def test_the_distribution_function_of_a_quantile_is_its_probability(
    seed: int, components: int, apart: float, mixtures: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(components, 0.3), mixtures)
    centres = rng.normal(0, apart, (mixtures, components))
    deviations = rng.uniform(0.01, 1, (mixtures, components))
    probabilities = np.sort(rng.uniform(1e-4, 1 - 1e-4, (mixtures, 5)), axis=1)
    found = mixture_quantiles(weights, centres, deviations, probabilities)
    # Where components are far apart the function is flat or steep: its value a step to either side must enclose.
    spread = np.sqrt((weights * (deviations**2 + centres**2)).sum(axis=1))
    for column in range(5):
        low, high = (
            mixture_cdf(weights, centres, deviations, found[:, column] + step * spread) for step in (-1e-5, 1e-5)
        )
        assert np.all(low <= probabilities[:, column] + 1e-12)
        assert np.all(high >= probabilities[:, column] - 1e-12)
    assert np.all(np.diff(found, axis=1) >= 0)


def test_a_galaxy_has_the_same_quantiles_alone_and_among_many() -> None:
    rng = np.random.default_rng(4)
    weights, centres = rng.dirichlet(np.ones(4), 4000), rng.normal(0, 1, (4000, 4))
    deviations = rng.uniform(0.1, 1, (4000, 4))
    probabilities = np.tile(PROBABILITIES, (4000, 1))
    together = mixture_quantiles(weights, centres, deviations, probabilities)
    for row in (0, 1700, 3999):
        one = slice(row, row + 1)
        alone = mixture_quantiles(weights[one], centres[one], deviations[one], probabilities[one])
        assert alone[0] == pytest.approx(together[row], rel=1e-12)
    assert mixture_quantiles(weights[:0], centres[:0], deviations[:0], probabilities[:0]).shape == (0, 5)
