"""Networks of several sizes on the same observations: what accuracy costs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from training.export import write_saved_model
from training.fit_redden import Config, fit, write_run
from training.metrics import Estimates, Figure, figures
from training.networks.redden import Shape
from training.rivals.mocks import BAND_SETS, Mocks
from training.rivals.network import Network
from training.scene_set import load_scenes

SIZES_FILE: Final = "sizes.json"

SHAPES: Final[Mapping[str, Shape]] = {
    "XXS": Shape(filters=(8, 12, 16), context=24, dense=(24, 24), components=3),
    "XS": Shape(filters=(8, 16, 24), context=32, dense=(32, 32), components=4),
    "S": Shape(filters=(16, 32, 48), context=48, dense=(64, 64), components=6),
    "M": Shape(filters=(16, 32, 64), context=96, dense=(128, 128), components=6),
    "L": Shape(filters=(24, 48, 64), context=96, dense=(128, 128), components=6),
    "XL": Shape(filters=(32, 64, 96), context=96, dense=(128, 128), components=6),
}
"""Sizes by name; M is the shape of ``configs/redden.toml``."""


class Size(BaseModel):
    """How accurate a network of one size is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    parameters: int
    validation_loss: float
    r2: dict[str, dict[str, Figure]]
    """By band set, then by quantity."""


def fit_sizes(config: Config, data: Path, out: Path, say: Callable[[str], None]) -> list[Size]:
    """Fit `SHAPES` to the same observations, write each as a run and as a SavedModel, and test them.

    Parameters
    ----------
    config : Config
        Its shape is left aside.
    data : Path
        Data set of scenes.
    out : Path
        Directory; ``NAME/run/`` and ``NAME/1/`` are written into it, and ``sizes.json`` last.
    say : callable
        Told how far the fit is.
    """
    fitted = fit(config, data, list(SHAPES.values()), say)
    _, scenes = load_scenes(data)
    test = Mocks.observe(scenes.part("test", config.split_seed), config.observation, seed=config.seed + 3, most=10_000)
    sizes = []
    for (name, shape), (network, history) in zip(SHAPES.items(), fitted, strict=True):
        write_run(config.model_copy(update={"shape": shape}), data, network, history, out / name / "run")
        saved = out / name / "1"
        saved.mkdir(parents=True)
        write_saved_model(network.model, saved)
        sizes.append(
            Size(
                name=name,
                parameters=network.model.count_params(),
                validation_loss=history["val_loss"][-1],
                r2=_accuracy(Network(out / name / "run"), test, config.seed),
            )
        )
    (out / SIZES_FILE).write_text(json.dumps([size.model_dump() for size in sizes], indent=1) + "\n", encoding="utf-8")
    return sizes


def _accuracy(network: Network, mocks: Mocks, seed: int) -> dict[str, dict[str, Figure]]:
    found: dict[str, dict[str, Figure]] = {}
    for band_set in BAND_SETS:
        answer = network.answer(mocks.seen_in(band_set))
        found[band_set.name] = {
            name: figures(Estimates(truth, answer[name], mocks.galaxy, 0.0), seed=seed)["r2"]
            for name, truth in mocks.truth.items()
        }
    return found
