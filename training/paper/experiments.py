"""Why do our errors differ from the paper's? The procedure with one thing changed at a time, on the same galaxies."""

import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from redden.errors import ReddenError
from redden.modelcard import TargetName
from training.dataset import DatasetCard, Split, split_images
from training.fit import BATCH, fit_network
from training.metrics import Estimates, Figure, figures
from training.networks import RECIPES, Recipe, paper
from training.paper.augment import Augmentation
from training.samples import Samples, load

VARIANTS_FILE: Final = Path(__file__).with_suffix(".toml")
TABLE_FILE: Final = "experiments.md"


class ExperimentError(ReddenError):
    """An experiment is not known, or lacks its data."""


class Variant(BaseModel):
    """The paper's procedure, or what is changed of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asks: str
    """What is different."""
    split: Split | Literal["copies-leak"] = "galaxies-85-15"
    """How images are shared out; ``copies-leak`` shares out the augmented copies instead of the images."""
    noise: bool = True
    """Whether images have noise; the same images are chosen."""
    most_a_v: float | None = None
    """Only images with less, in training and test."""
    with_dust_free: bool = False
    """Whether images without dust are trained on; tests are always on dusty ones."""
    loss: str = paper.PERCENTAGE_ERROR
    """Name of a loss of keras."""
    hog: bool = True
    """Whether there are HOG copies."""
    balanced: bool = True
    """Whether copies make the labels even."""


class Outcome(BaseModel):
    """How well a variant's network does on its test images."""

    model_config = ConfigDict(frozen=True)

    variant: str
    asks: str
    model: str
    target: TargetName
    settings: dict[str, Any]
    """What decided the outcome: the variant, the data set's hash, factor, epochs and seed."""
    epochs: int
    train_images: int
    """Before copies are made, unless these are shared out."""
    test_images: int
    test_galaxies: int
    figures: dict[str, Figure]
    """Names of `training.metrics.figures`."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `run` has written."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


def variants(path: Path = VARIANTS_FILE) -> dict[str, Variant]:
    """The experiments of a TOML file, by name.

    Raises
    ------
    ExperimentError
        If the file is not understood.
    """
    try:
        return {name: Variant.model_validate(found) for name, found in tomllib.loads(path.read_text("utf-8")).items()}
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ExperimentError(f"{path} cannot be used: {error}") from error


def run(
    name: str,
    variant: Variant,
    model: str,
    target: TargetName,
    data: Path,
    out: Path,
    *,
    factor: float,
    epochs: int,
    seed: int,
) -> Outcome:
    """Fit one network by a variant of the procedure and test it; what was done before is read, not done again.

    Parameters
    ----------
    name, variant
        The experiment.
    model : str
        ``paper-1band`` or ``paper-3band``.
    target : str
        Quantity.
    data : Path
        Data set, with or without noise as the variant asks.
    out : Path
        Directory of the outcomes.
    factor : float
        Training images with their copies over those without.
    epochs : int
        Most epochs.
    seed : int
        Of everything that is random.

    Returns
    -------
    Outcome

    Raises
    ------
    DatasetError
        If the data set cannot be used.
    ExperimentError
        If `out` has an outcome of this name with other settings.
    """
    path = out / f"{name}-{model}-{target}.json"
    settings = {
        "variant": variant.model_dump(mode="json"),
        "data": DatasetCard.read(data).sha256,
        "factor": factor,
        "epochs": epochs,
        "seed": seed,
    }
    if path.exists():
        found = Outcome.read(path)
        if found.settings != settings:
            raise ExperimentError(f"{path} is of other data or options: name another --out, or remove it.")
        return found
    recipe = _recipe(model, target, variant, epochs=epochs)
    _, samples = load(data, recipe.bands, recipe.normalisation, with_dust_free=variant.with_dust_free)
    if variant.most_a_v is not None:
        samples = samples.select(samples.truth["a_v"] <= variant.most_a_v)
    augmentation = Augmentation(factor=factor, hog=variant.hog, balanced=variant.balanced)
    (train, validation, test), median, augmentation = _shared_out(samples, target, variant, augmentation, seed)
    network, history = fit_network(replace(recipe, batches=augmentation.batches), train, validation, seed=seed)
    answer = network.parts[0].model.predict(test.pixels, batch_size=BATCH, verbose=0)[:, 0].astype(np.float64)
    outcome = Outcome(
        variant=name,
        asks=variant.asks,
        model=model,
        target=target,
        settings=settings,
        epochs=len(history[target]["loss"]),
        train_images=len(train),
        test_images=len(test),
        test_galaxies=test.galaxies,
        figures=figures(_estimates(test, target, answer, median), seed=seed),
    )
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(outcome.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return outcome


def _recipe(model: str, target: TargetName, variant: Variant, *, epochs: int) -> Recipe:
    """A model's recipe for one quantity, with the variant's loss."""
    recipe = RECIPES[model]
    return replace(
        recipe,
        targets=tuple(each for each in recipe.targets if each.name == target),
        build=partial(paper.build, loss=variant.loss),
        epochs=epochs,
    )


def _shared_out(
    samples: Samples, target: TargetName, variant: Variant, augmentation: Augmentation, seed: int
) -> tuple[list[Samples], float, Augmentation]:
    """Training, validation and test images, the median of dusty training images, and what augmentation is left."""
    as_it_is: NDArray[np.bool_] = samples.truth["a_v"] > 0
    if variant.split == "copies-leak":
        rng = np.random.default_rng(seed)
        rows, kinds = augmentation.plan(samples.truth[target], rng)
        samples = samples.select(rows)
        samples = Samples(augmentation.make(samples.pixels, kinds, rng), samples.truth, samples.galaxy)
        as_it_is = as_it_is[rows] & (kinds == 0)
        augmentation = replace(augmentation, factor=1.0)
    part = split_images(samples.galaxy, seed, "images-leak" if variant.split == "copies-leak" else variant.split)
    masks = part == "train", part == "validation", (part == "test") & as_it_is
    median = float(np.median(samples.truth[target][(part == "train") & as_it_is]))
    return [samples.select(mask) for mask in masks], median, augmentation


def _estimates(test: Samples, target: TargetName, answer: NDArray[np.float64], median: float) -> Estimates:
    quantiles = np.full((len(test), 5), np.nan)
    quantiles[:, 2] = answer
    return Estimates(test.truth[target], quantiles, test.galaxy, median)


def markdown(outcomes: list[Outcome]) -> str:
    """A table of outcomes: a row for each variant and model."""
    lines = [
        "| experiment | quantity | model | MAE | MAE of the median | label spread | R2 | skill | bias | "
        "test images (galaxies) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in outcomes:
        found = each.figures
        cells = [
            each.variant,
            each.target,
            f"`{each.model}`",
            _with_error(found["mae"]),
            f"{found['median_mae'].value:.4f}",
            f"{found['spread'].value:.4f}",
            _with_error(found["r2"], 2),
            _with_error(found["skill"], 2),
            f"{found['bias'].value:+.3f}",
            f"{each.test_images} ({each.test_galaxies})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _with_error(figure: Figure, digits: int = 4) -> str:
    return f"{figure.value:.{digits}f} ± {figure.error:.{digits}f}"
