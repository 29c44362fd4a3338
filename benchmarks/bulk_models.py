"""The models of ``benchmarks/bulk.py``, and how fast they are by themselves."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
import openvino

from models import rate
from redden.modelcard import ModelCard
from service.bulk.cutting import BATCH
from service.bulk.measure import IN_FLIGHT
from service.inference.client import ModelServer
from service.inference.servables import Servable

ROOT = Path(__file__).parents[1]
CHEAP_CARD = {"name": "cheap-3band", "description": "Some ten times as fast as paper-3band, with random weights."}
MAKE_CHEAP = """
import sys, keras
pixels = keras.Input((32, 32, 3), name="pixels")
x = pixels
for filters in (16, 32, 48):
    x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
x = keras.layers.Dense(32, activation="relu")(keras.layers.Flatten()(x))
model = keras.Model(pixels, {"mean": keras.layers.Dense(3, name="mean")(x)})
spec = [keras.InputSpec(shape=(None, 32, 32, 3), dtype="float32", name="pixels")]
model.export(sys.argv[1], input_signature=spec, verbose=False)
"""


def make_models(folder: Path) -> dict[str, Path]:
    """The paper's network, and one ten times cheaper, as a directory of models."""
    card = ModelCard.read(ROOT / "models" / "paper-3band" / "1")
    paper, cheap = folder / "paper-3band", folder / "cheap-3band"
    if not paper.exists():
        paper.symlink_to(ROOT / "models" / "paper-3band")
    if not cheap.exists():
        subprocess.run([sys.executable, "-c", MAKE_CHEAP, str(cheap / "1")], check=True, capture_output=True)
        card.model_copy(update=CHEAP_CARD).write(cheap / "1")
    entries = "".join(f'config {{ name: "{path.name}" base_path: "/models/{path.name}" }}\n' for path in (paper, cheap))
    (folder / "models.config").write_text(f"model_config_list {{\n{entries}}}\n", encoding="utf-8")
    return {"paper-3band": paper / "1", "cheap-3band": cheap / "1"}


def best_call(model: Path, seconds: float) -> tuple[int, int]:
    """Galaxies of a call and calls at once, as many as cores or twice as many, at which a model is fastest."""
    servable = Servable.load(openvino.Core(), model)
    cores = os.cpu_count() or 1
    calls = product((64, 128, 256, 512), (cores, 2 * cores))
    return max(calls, key=lambda call: rate(servable, call[0], seconds, call[1]))


def model_alone(model: Path, call: tuple[int, int], seconds: float) -> float:
    """Rows/s of a model in this process."""
    return rate(Servable.load(openvino.Core(), model), call[0], seconds, call[1])


def through_socket(name: str, address: str, seconds: float) -> float:
    """Rows/s of a model behind the model server, for as many clients as cores that only send ready-made batches."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        clients = [partial(_client_alone, name, address) for _ in range(os.cpu_count() or 1)]
        for _ in range(2):  # the first time only starts the processes
            found = [pool.submit(client, seconds) for client in clients]
            rates = [each.result() for each in found]
    return sum(rates)


def _client_alone(name: str, address: str, seconds: float) -> float:
    """Rows/s of one client that has two batches of a job's size under way."""
    pixels = np.random.default_rng(0).random((BATCH, 32, 32, 3), dtype=np.float32)

    async def call(server: ModelServer, end: float) -> int:
        calls = 0
        while perf_counter() < end:
            await server.predict(name, 1, {"pixels": pixels})
            calls += 1
        return calls

    async def calls() -> float:
        server = ModelServer(address, deadline=60)
        await server.predict(name, 1, {"pixels": pixels})
        start = perf_counter()
        done = sum(await asyncio.gather(*[call(server, start + seconds) for _ in range(IN_FLIGHT)]))
        rate = done * BATCH / (perf_counter() - start)
        await server.close()
        return rate

    return asyncio.run(calls())
