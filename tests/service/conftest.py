"""A gateway and a model server on real sockets, over small networks with random weights."""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from pathlib import Path
from threading import Thread
from time import sleep

import httpx
import numpy as np
import pytest
import uvicorn
from astropy.io import fits
from numpy.typing import NDArray

from redden.bands import BANDS
from redden.modelcard import ModelCard, Target
from redden.photometric import context_columns
from service.app import create_app
from service.inference.local_server import ModelServices, make_server
from service.inference.servables import load_models
from service.processes import free_port
from service.settings import Settings

THREE = ("F277W", "F356W", "F444W")
SEVEN = tuple(BANDS)
COMPONENTS = 4
THRESHOLD = 5.5
"""Of the domain score of any-band, which is the number of bands."""
LEVELS = (0.01, 0.1, 0.4, 0.8, 0.95)
"""At which any-band takes its quantiles."""
MODELS = {
    "gaussian-3band": (THREE, "gaussian", "joint"),
    "paper-1band": (THREE[:1], "point", "each-band"),
    "paper-3band": (THREE, "point", "each-band"),
    "any-band": (SEVEN, "mixture", "photometric"),
}


DEFAULT = "gaussian-3band"


@pytest.fixture(scope="module", autouse=True)
def default_model() -> Iterator[None]:
    """Tests of serving have a default model of their own, whichever is the best now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDDEN_DEFAULT_MODEL", DEFAULT)
        yield


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as training exports them: SavedModels, cards and ``models.config``."""
    directory = tmp_path_factory.mktemp("models")
    entries = []
    for seed, (name, (bands, posterior, normalisation)) in enumerate(MODELS.items()):
        version_dir = directory / name / "1"
        _export(version_dir, len(bands), posterior, seed)
        transform = "identity" if posterior == "point" else "log"
        ModelCard(
            name=name,
            version=1,
            description="Random weights.",
            bands=bands,
            normalisation=normalisation,
            targets=(
                Target(name="a_v", transform=transform),
                Target(name="e_bv", transform=transform),
                Target(name="log_ssfr"),
            ),
            posterior=posterior,
            levels=posterior == "mixture",
            redshift_range=(5.5, 9.0) if posterior == "mixture" else None,
            domain={"threshold": THRESHOLD} if posterior == "mixture" else None,
            trained_on={},
            trained_with={},
            figures_of_merit={},
            intended_use="Tests.",
        ).write(version_dir)
        labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 7 }'
        label = labels if name == "gaussian-3band" else ""
        entries.append(f'config {{ name: "{name}" base_path: "/models/{name}" model_platform: "tensorflow" {label} }}')
    (directory / "models.config").write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n", encoding="utf-8")
    return directory


def _export(directory: Path, bands: int, posterior: str, seed: int) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = {"pixels": keras.Input((32, 32, bands), name="pixels")}
    hidden = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs["pixels"])
    hidden = layers.Flatten()(layers.MaxPooling2D()(hidden))
    outputs = {}
    if posterior == "mixture":
        context = inputs["context"] = keras.Input((context_columns(bands),), name="context")
        hidden = layers.Concatenate()([hidden, context])
        outputs["domain"] = layers.Flatten(name="domain_column")(context[:, -1:] * bands)
    hidden = layers.Dense(16, activation="tanh")(hidden)
    shape = (COMPONENTS, 3) if posterior == "mixture" else (3,)
    outputs["mean"] = layers.Reshape(shape, name="mean")(layers.Dense(math.prod(shape))(hidden))
    if posterior != "point":
        entries = layers.Dense(3 * math.prod(shape))(hidden)
        outputs["scale_tril"] = layers.Reshape((*shape, 3), name="scale_tril")(entries)
    if posterior == "mixture":
        outputs["logits"] = layers.Dense(COMPONENTS, name="logits")(hidden)
        outputs["domain"] = layers.Reshape((), name="domain")(outputs["domain"])
        odds = keras.initializers.Constant(np.tile(np.log(LEVELS) - np.log1p(-np.array(LEVELS)), 4))
        levels = layers.Dense(4 * len(LEVELS), "sigmoid", kernel_initializer="zeros", bias_initializer=odds)(hidden)
        outputs["levels"] = layers.Reshape((4, len(LEVELS)), name="levels")(levels)
    signature = {
        name: keras.InputSpec(shape=(None, *tensor.shape[1:]), dtype="float32", name=name)
        for name, tensor in inputs.items()
    }
    if len(inputs) == 1:
        inputs, signature = inputs["pixels"], signature["pixels"]
    keras.Model(inputs, outputs).export(directory, input_signature=[signature], verbose=False)


@pytest.fixture(scope="session")
def model_server(models_dir: Path) -> Iterator[str]:
    """Address of a local model server."""
    address = f"127.0.0.1:{free_port()}"
    server = make_server(ModelServices(load_models(models_dir / "models.config", models_dir)), address)
    server.start()
    yield address
    server.stop(grace=None).wait()


@contextmanager
def run_gateway(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a gateway that runs in another thread."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), port=port, log_config=None, timeout_graceful_shutdown=1)
    )
    thread = Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        sleep(0.01)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def running_gateway() -> Callable[[Settings], AbstractContextManager[httpx.Client]]:
    """Run a gateway with these settings for the length of a ``with`` block."""
    return run_gateway


@pytest.fixture(scope="session")
def gateway(models_dir: Path, model_server: str) -> Iterator[httpx.Client]:
    """A client of a gateway before the local model server; there is no queue."""
    settings = Settings(
        models_dir=models_dir,
        default_model=DEFAULT,
        model_server=model_server,
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
        surveys_dir=models_dir / "no-surveys",
    )
    with run_gateway(settings) as client:
        yield client


def _galaxy(seed: int, size: int) -> NDArray[np.float32]:
    """A round galaxy in noise."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    noise = np.random.default_rng(seed).normal(0, 0.3, (size, size))
    return np.asarray(40 * np.exp(-(x**2 + y**2) / 18) + noise, dtype=np.float32)


def make_image(data: NDArray[np.generic] | None = None, seed: int = 1, size: int = 64, **keywords: object) -> bytes:
    """A FITS file with one image; keywords go into the header, those that are None are left out."""
    header = {"BUNIT": "nJy", "FILTER": "F277W", "CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600}
    header |= {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 53.15, "CRVAL2": -27.8}
    data = _galaxy(seed, size) if data is None else data
    header |= {f"CRPIX{axis}": (data.shape[-axis] + 1) / 2 for axis in (1, 2)}
    cards = {key: value for key, value in {**header, **keywords}.items() if value is not None}
    stream = BytesIO()
    fits.PrimaryHDU(data, fits.Header(cards)).writeto(stream)
    return stream.getvalue()


def make_form(*images: bytes, name: str = "files") -> list[tuple[str, tuple[str, bytes, str]]]:
    """The parts of a multipart form."""
    return [(name, (f"{number}.fits", data, "application/fits")) for number, data in enumerate(images)]


@pytest.fixture(scope="session")
def image() -> Callable[..., bytes]:
    """Make a FITS file with one image."""
    return make_image


@pytest.fixture(scope="session")
def form() -> Callable[..., list[tuple[str, tuple[str, bytes, str]]]]:
    """Make the parts of a multipart form."""
    return make_form


@pytest.fixture(scope="session")
def three_bands() -> list[bytes]:
    """One file per band."""
    return [make_image(seed=seed, FILTER=band) for seed, band in enumerate(THREE)]


@pytest.fixture(scope="session")
def post(gateway: httpx.Client) -> Callable[..., httpx.Response]:
    """Post files, or a raw body, to ``/v1/predict``."""

    def post(*images: bytes, name: str = "files", **parameters: object) -> httpx.Response:
        return gateway.post("/v1/predict", files=make_form(*images, name=name), params=parameters)

    return post
