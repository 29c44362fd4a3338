"""Fit the redden network: scenes observed anew all along, one or several sizes at a time on the same observations."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final, Self, TypeVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rich.progress import Progress

from redden.bands import BANDS
from redden.errors import ReddenError
from redden.modelcard import ModelCard, Target
from redden.photometric import PHOTOMETRIC, context_columns
from redden.posterior import QUANTITIES
from redden.signature import DOMAIN, LOGITS, MEAN, SCALE_TRIL
from training.batches import FAINTEST_SNR, Looks, labels, looks
from training.dataset import DatasetCard, DatasetError
from training.domain_data import draw_outliers, strange_looks
from training.fit import HISTORY_FILE, NETWORK_FILE, in_tenths, trained_on_mocks
from training.networks.redden import Scales, Shape, band_of_column, build, negative_log_likelihood
from training.observe import LEAST_SNR, SELECTED_IN, ObservationPrior
from training.outliers import FITTED
from training.scene_set import SceneSet, load_scenes
from training.software import CODE_VERSION
from training.teacher import TAUGHT, Teacher, read_teacher

TARGETS: Final = (
    Target(name="a_v", transform="log"),
    Target(name="e_bv", transform="log"),
    Target(name="log_ssfr"),
)

_WARM_UP: Final = 0.02
"""Share of the steps in which the learning rate rises."""
_KNOWN: Final = 2
"""Galaxies of the training kind for each strange cutout."""

Item = TypeVar("Item")


class ConfigError(ReddenError):
    """The configuration of a model cannot be used."""


class Config(BaseModel):
    """Everything that decides a fit besides the data set, as in ``training/configs/redden.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    split_seed: Annotated[int, Field(ge=0)]
    """Of the split: which galaxies are learned from."""
    seed: Annotated[int, Field(ge=0)]
    """Of the weights, the observations, the strange cutouts and the order."""
    looks: Annotated[int, Field(ge=1)]
    """Observations of galaxies that the fit sees."""
    echo: Annotated[int, Field(ge=1)]
    """How often it sees each, turned and mirrored."""
    chunk: Annotated[int, Field(ge=1)]
    """Galaxies that are observed at once and shuffled together."""
    batch: Annotated[int, Field(ge=2, multiple_of=2)]
    """Galaxies of a step, to which come half as many strange cutouts."""
    strange: Annotated[int, Field(ge=1)]
    """Strange cutouts that are drawn of a kind, or several times as many, see `training.outliers.FITTED`."""
    strange_weight: Annotated[float, Field(ge=0)]
    """Of the loss of the domain score, beside that of the answer."""
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    shape: Shape
    observation: ObservationPrior

    @model_validator(mode="after")
    def _has_steps(self) -> Self:
        if self.chunk < 2 * self.batch:
            raise ValueError(f"chunk must be at least twice the batch, {2 * self.batch}")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises
        ------
        ConfigError
            If it is missing or wrong.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise ConfigError(f"{path} cannot be used: {error}") from error

    @property
    def steps(self) -> int:
        """Steps of the optimiser."""
        return -(-self.looks // self.chunk) * self.echo * (self.chunk // self.batch)


class Fit:
    """One network and its optimiser."""

    def __init__(self, config: Config, shape: Shape, scales: Scales, teacher: Teacher | None = None) -> None:
        self.teacher = teacher
        # The first weights of a shape do not depend on which other shapes are fitted beside it.
        keras.utils.set_random_seed(config.seed)
        self.model = build(tuple(BANDS), shape, scales)
        self.strange_weight = config.strange_weight
        schedule = keras.optimizers.schedules.CosineDecay(
            config.learning_rate / 20,
            decay_steps=config.steps,
            alpha=0.0,
            warmup_target=config.learning_rate,
            warmup_steps=round(_WARM_UP * config.steps),
        )
        self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, clipnorm=1.0)
        self.optimizer.build(self.model.trainable_variables)
        self.loss: Callable[..., tf.Tensor] = tf.function(self._loss, jit_compile=False)
        self.step: Callable[..., tf.Tensor] = tf.function(self._step, jit_compile=False)

    def _step(self, looks: Sequence[tf.Tensor], strange: Sequence[tf.Tensor]) -> tf.Tensor:
        """One step towards the labels of galaxies and away from strange cutouts; the loss of the labels."""
        variables = self.model.trainable_variables
        pixels, context, truth = looks
        known = tf.shape(pixels)[0]
        with tf.GradientTape() as tape:
            inputs = [tf.concat(pair, axis=0) for pair in zip((pixels, context), strange, strict=True)]
            answer = self.model(inputs, training=True)
            told_of = {name: tensor[:known] for name, tensor in answer.items()}
            loss = wanted = _likelihood(truth, told_of)
            if self.teacher is not None:
                taught = self.teacher.loss((pixels, context), told_of[LOGITS], told_of[MEAN], told_of[SCALE_TRIL])
                wanted = (1 - TAUGHT) * loss + TAUGHT * taught
            odds = answer[DOMAIN]
            told = tf.reduce_mean(tf.nn.softplus(odds[:known])) + tf.reduce_mean(tf.nn.softplus(-odds[known:]))
            total = wanted + self.strange_weight * told
        self.optimizer.apply(tape.gradient(total, variables), variables)
        return loss

    def _loss(self, pixels: tf.Tensor, context: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
        return _likelihood(truth, self.model([pixels, context], training=False))

    def validate(self, held_out: Looks, batch: int) -> float:
        """Mean negative log likelihood of held-out galaxies."""
        parts = [slice(start, start + batch) for start in range(0, len(held_out) - batch + 1, batch)]
        losses = [
            self.loss(held_out.pixels[part].astype(np.float32), held_out.context[part], held_out.labels[part])
            for part in parts
        ]
        return float(np.mean([float(loss) for loss in losses]))


def _likelihood(truth: tf.Tensor, answer: Mapping[str, tf.Tensor]) -> tf.Tensor:
    return tf.reduce_mean(negative_log_likelihood(truth, answer[LOGITS], answer[MEAN], answer[SCALE_TRIL]))


def fit(
    config: Config, data: Path, shapes: Sequence[Shape], say: Callable[[str], None], teacher: Teacher | None = None
) -> list[tuple[Fit, Any]]:
    """Fit networks of several shapes to the same observations, and to what a teacher says of them if there is one.

    Returns
    -------
    list of (Fit, dict)
        In the order of `shapes`: the fitted network, and its history: ``looks``, ``loss`` and ``val_loss``.
    """
    _, scenes = load_scenes(data)
    if scenes.bands != tuple(BANDS):
        raise DatasetError(f"scenes in {', '.join(BANDS)} are needed; {data} has {', '.join(scenes.bands)}.")
    keras.utils.clear_session()
    train, validation = scenes.part("train", config.split_seed), scenes.part("validation", config.split_seed)
    held_out = next(looks(validation, config.observation, TARGETS, galaxies=config.chunk // 2, seed=config.seed + 1))
    strange = strange_looks(
        draw_outliers(
            train, config.observation, shares=FITTED, count=config.strange, min_snr=FAINTEST_SNR, seed=config.seed
        ),
        scenes.bands,
        galaxies=config.chunk // _KNOWN,
        seed=config.seed,
    )
    known = looks(train, config.observation, TARGETS, galaxies=config.chunk, seed=config.seed)
    stream = _ahead(zip(known, strange, strict=True))
    first = next(stream)
    scales = measure_scales(first[0], labels(train.truth, TARGETS))
    fits = [Fit(config, shape, scales, teacher) for shape in shapes]
    histories: list[dict[str, list[float]]] = [{"looks": [], "loss": [], "val_loss": []} for _ in shapes]
    rng = np.random.default_rng(config.seed)
    chunks = -(-config.looks // config.chunk)
    start = perf_counter()
    with Progress() as progress:
        bar = progress.add_task("Fitting", total=chunks)
        for number in range(chunks):
            seen, odd = first if number == 0 else next(stream)
            losses: list[list[float]] = []
            for _ in range(config.echo):
                turned = seen.batches(config.batch, rng), odd.batches(config.batch // _KNOWN, rng)
                losses += [
                    [each.step(batch, others[:2]) for each in fits] for batch, others in zip(*turned, strict=True)
                ]
            mean = np.mean([[float(loss) for loss in row] for row in losses], axis=0)
            for each, history, loss in zip(fits, histories, mean, strict=True):
                history["looks"].append((number + 1) * config.chunk)
                history["loss"].append(float(loss))
                if number % 5 == 4 or number == chunks - 1:
                    history["val_loss"].append(each.validate(held_out, config.batch))
            if number % 5 == 4 or number == chunks - 1:
                recent = ", ".join(f"{history['val_loss'][-1]:.4f}" for history in histories)
                say(f"{number + 1}/{chunks} after {perf_counter() - start:.0f} s: validation loss {recent}")
            progress.advance(bar)
    return list(zip(fits, histories, strict=True))


def fit_one(
    config: Config, data: Path, out: Path, say: Callable[[str], None], teacher_run: Path | None = None
) -> ModelCard:
    """Fit the network of a configuration and write the run.

    Parameters
    ----------
    config : Config
    data : Path
        Data set of scenes.
    out : Path
        Directory of the run.
    say : callable
        Told how far the fit is.
    teacher_run : Path, optional
        Run or ensemble whose posteriors the network learns too; fitted to the same part of the same data set.

    Raises
    ------
    DatasetError, ModelCardError
        If the data set or the teacher cannot be used.
    """
    teacher = None
    if teacher_run is not None:
        teacher = read_teacher(teacher_run, _fitted_to(DatasetCard.read(data), config))
    ((fitted, history),) = fit(config, data, [config.shape], say, teacher)
    return write_run(config, data, fitted, history, out)


def measure_scales(sample: Looks, truth: NDArray[np.float32]) -> Scales:
    """Means and spreads of the context, where its band or the redshift is there, and of the labels."""
    bands = sample.pixels.shape[-1]
    context = sample.context.astype(np.float64)
    counted = np.broadcast_to(context[:, :bands] @ band_of_column(bands)[:bands], context.shape).copy()
    counted[:, band_of_column(bands)[bands] > 0] = 1.0
    redshift = np.arange(context_columns(bands) - 4, context_columns(bands) - 2)
    counted[:, redshift] = context[:, [context_columns(bands) - 2]]
    weight = counted.sum(axis=0)
    mean = (counted * context).sum(axis=0) / weight
    spread = np.sqrt((counted * (context - mean) ** 2).sum(axis=0) / weight)
    mean[redshift] = 0.0  # so that 0 stays what unknown is
    return Scales(mean, np.maximum(spread, 0.05), truth.mean(axis=0), truth.std(axis=0))


def _ahead(source: Iterator[Item]) -> Iterator[Item]:
    """The same, with the next one made in a thread while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, source)
        while True:
            ready = upcoming.result()
            upcoming = thread.submit(next, source)
            yield ready


def write_run(config: Config, data: Path, fitted: Fit, history: dict[str, list[float]], out: Path) -> ModelCard:
    """Write the network, its history and its card, uncalibrated, into the directory of a run."""
    data_card, scenes = load_scenes(data)
    redshifts = in_tenths(scenes.part("train", config.split_seed).truth["z"])
    card = ModelCard(
        name=config.name,
        version=1,
        description=config.description,
        bands=tuple(BANDS),
        normalisation=PHOTOMETRIC,
        targets=TARGETS,
        posterior="mixture",
        interval_scale={},
        redshift_range=redshifts,
        trained_on=_trained_on(data_card, scenes, config),
        trained_with=_trained_with(config, fitted),
        figures_of_merit={},
        intended_use=_intended_use(data_card, redshifts),
    )
    out.mkdir(parents=True, exist_ok=True)
    fitted.model.save(out / NETWORK_FILE)
    (out / HISTORY_FILE).write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    card.write(out)
    return card


def _intended_use(data_card: DatasetCard, redshifts: tuple[float, float]) -> str:
    return (
        f"Galaxies at redshift {redshifts[0]:g} to {redshifts[1]:g} in NIRCam images of 0.03 arcsec per pixel with a "
        f"signal-to-noise ratio of {LEAST_SNR:g} or more in {', '.join(SELECTED_IN)} where these are there, centred in "
        "the cutout. "
        f"{trained_on_mocks(data_card)} Heed the domain score. Not for galaxies without any dust: the model cannot "
        "answer A_V = 0."
    )


def _fitted_to(data_card: DatasetCard, config: Config) -> dict[str, Any]:
    """What two networks must share to be compared, joined, or to teach each other."""
    return {
        "sha256": data_card.sha256,
        "split_seed": config.split_seed,
        "observation": config.observation.model_dump(mode="json"),
        "least_snr": FAINTEST_SNR,
    }


def _trained_on(data_card: DatasetCard, scenes: SceneSet, config: Config) -> dict[str, Any]:
    train, validation = scenes.part("train", config.split_seed), scenes.part("validation", config.split_seed)
    return _fitted_to(data_card, config) | {
        "data_set": data_card.name,
        "source": data_card.source,
        "software": data_card.software,
        "settings": data_card.settings,
        "train": {"images": len(train), "galaxies": len(np.unique(train.galaxy))},
        "validation": {"images": len(validation), "galaxies": len(np.unique(validation.galaxy))},
        "median": {quantity: float(np.median(train.truth[quantity])) for quantity in QUANTITIES},
    }


def _trained_with(config: Config, fitted: Fit) -> dict[str, Any]:
    teacher = {} if fitted.teacher is None else {"teacher": fitted.teacher.facts}
    of = "" if fitted.teacher is None else " of the truth and of a teacher's draws"
    return teacher | {
        "loss": f"negative log likelihood{of} under a mixture of Gaussians, "
        f"plus {config.strange_weight:g} times the logistic loss of telling strange cutouts from galaxies",
        "config": config.model_dump(mode="json"),
        "parameters": fitted.model.count_params(),
        "software": {"redden": CODE_VERSION} | {package: version(package) for package in ("keras", "tensorflow")},
    }
