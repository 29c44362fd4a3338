"""Galaxies per second that posteriors become quantiles: python benchmarks/posteriors.py

Mixtures of Gaussians, as the redden model answers them, become five quantiles of four quantities. Exact quantiles stand
beside those of 512 samples for each galaxy, which is the usual way; both in one thread and in turns, so that a busy
machine slows both alike. What the samples err by is given in half 68 % intervals.
"""

import argparse
from time import process_time

import numpy as np
from numpy.typing import NDArray

from redden.modelcard import ModelCard, Target
from redden.posterior import PROBABILITIES, QUANTITIES, quantiles

CARD = ModelCard(
    name="mixture",
    version=1,
    description="Random posteriors.",
    bands=("F277W",),
    normalisation="photometric",
    targets=(Target(name="a_v", transform="log"), Target(name="e_bv", transform="log"), Target(name="log_ssfr")),
    posterior="mixture",
    trained_on={},
    trained_with={},
    figures_of_merit={},
    intended_use="This benchmark.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=4096)
    parser.add_argument("--components", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5, help="the median of the rounds is given")
    given = parser.parse_args()
    outputs = posteriors(given.galaxies, given.components)
    ways = {"exact": lambda: quantiles(CARD, outputs), "512 samples": lambda: sampled(outputs, 512)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(given.rounds):
        for name, way in ways.items():
            start = process_time()
            found[name] = way()
            rates[name].append(given.galaxies / (process_time() - start))
    print(f"{given.galaxies} galaxies, {given.components} components, processor time of one thread")
    for name, each in rates.items():
        print(f"{name:12} {np.median(each):10.0f} galaxies/s")
    exact = found["exact"]
    for name in QUANTITIES:
        half = (exact[name][:, 3:4] - exact[name][:, 1:2]) / 2
        error = np.abs(found["512 samples"][name] - exact[name]) / half
        print(f"{name:12} samples err by {np.median(error):.3f}, in the tails by {np.median(error[:, [0, 4]]):.3f}")


def posteriors(galaxies: int, components: int) -> dict[str, NDArray[np.float32]]:
    """Random outputs of a model."""
    rng = np.random.default_rng(0)
    tril = np.tril(rng.normal(0, 0.2, (galaxies, components, 3, 3)))
    tril[..., range(3), range(3)] = rng.uniform(0.1, 0.6, (galaxies, components, 3))
    outputs = {
        "logits": rng.normal(0, 1, (galaxies, components)),
        "mean": rng.normal([-0.7, -2.3, -8.3], 0.3, (galaxies, components, 3)),
        "scale_tril": tril,
    }
    return {name: values.astype(np.float32) for name, values in outputs.items()}


def sampled(outputs: dict[str, NDArray[np.float32]], draws: int) -> dict[str, NDArray[np.float64]]:
    """Quantiles of samples of the joint posterior."""
    rng = np.random.default_rng(1)
    odds = np.exp(outputs["logits"].astype(np.float64))
    steps = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    which = np.minimum((rng.random((len(odds), draws, 1)) > steps[:, None]).sum(axis=-1), odds.shape[1] - 1)
    rows = np.arange(len(odds))[:, None]
    factors, centres = outputs["scale_tril"][rows, which], outputs["mean"][rows, which]
    values = centres + np.einsum("ndij,ndj->ndi", factors, rng.normal(size=centres.shape))
    a_v, e_bv = np.exp(values[..., 0]), np.exp(values[..., 1])
    drawn = {"a_v": a_v, "e_bv": e_bv, "r_v": a_v / e_bv, "log_ssfr": values[..., 2]}
    return {name: np.quantile(each, PROBABILITIES, axis=1).T for name, each in drawn.items()}


if __name__ == "__main__":
    main()
