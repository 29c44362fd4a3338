"""Galaxies per second of models, side by side in one process: python benchmarks/models.py MODEL_DIR...

Each directory holds a SavedModel, such as models/redden/1. All run under OpenVINO as the local model server runs them,
in turns, so that a busy machine slows all of them alike; the ratio to the first one is what can be trusted.
"""

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np
import openvino

from service.inference.servables import Servable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="SavedModel directories; the first is the measure of all")
    parser.add_argument("--batch", type=int, default=256, help="galaxies in a call")
    parser.add_argument("--callers", type=int, default=os.cpu_count() or 1, help="calls at once; by default the cores")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for a model in each round")
    parser.add_argument("--rounds", type=int, default=5, help="the median of the rounds is given")
    parser.add_argument(
        "--json", type=Path, help="file for galaxies per second by directory: the ratio times the rate of the first"
    )
    given = parser.parse_args()
    core = openvino.Core()
    servables = {str(path): Servable.load(core, path) for path in given.models}
    rates: dict[str, list[float]] = {name: [] for name in servables}
    for _ in range(given.rounds):
        for name, servable in servables.items():
            rates[name].append(rate(servable, given.batch, given.seconds, given.callers))
    first = np.array(next(iter(rates.values())))
    calls = f"{given.callers} callers of {given.batch} galaxies, {given.rounds} rounds of {given.seconds:g} s"
    print(f"{calls}, OpenVINO {openvino.__version__}")
    print(f"{'model':40} {'galaxies/s':>10} {'ratio':>7}")
    ratios = {name: float(np.median(np.array(found) / first)) for name, found in rates.items()}
    for name, ratio in ratios.items():
        print(f"{name:40} {np.median(rates[name]):10.0f} {ratio:7.2f}")
    if given.json is not None:
        even = {name: ratio * float(np.median(first)) for name, ratio in ratios.items()}
        given.json.write_text(json.dumps(even, indent=1))


def rate(servable: Servable, batch: int, seconds: float, callers: int) -> float:
    """Galaxies per second, for some callers at once."""
    rng = np.random.default_rng(0)
    inputs = {}
    for name, tensor in servable.signature.inputs.items():
        shape = [dim.size for dim in tensor.tensor_shape.dim][1:]
        inputs[name] = rng.random((batch, *shape)).astype(np.float32)

    def call(end: float) -> int:
        calls = 0
        while perf_counter() < end:
            servable.predict(inputs)
            calls += 1
        return calls

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(call, [perf_counter() + seconds / 5] * callers))  # which gives each the memory that it needs
        start = perf_counter()
        return sum(pool.map(call, [start + seconds] * callers)) * batch / (perf_counter() - start)


if __name__ == "__main__":
    main()
