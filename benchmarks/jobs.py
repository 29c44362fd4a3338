"""How fast a whole job is: a catalogue uploaded, queued, measured by Celery workers, and fetched as a table.

``python benchmarks/jobs.py`` starts valkey, model server, gateway and a worker with a process for each core, submits
100,000 positions on mosaics of its own, and measures the model alone before and after, in the same run.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

import httpx
import numpy as np
from astropy.table import Table
from bulk import CHUNK, make_plan, make_survey
from bulk_models import best_call, make_models, model_alone

from redden.client import Client
from service.embedded import redis_binary
from service.processes import Children, free_port

FORMATS = ("parquet", "fits", "votable", "csv", "ecsv")


def main() -> None:
    """Measure, and print one line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep mosaics here; by default all is removed")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--model", choices=("paper-3band", "cheap-3band"), default="paper-3band")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, Path(temporary), arguments.rows, arguments.model)


def run(folder: Path, scratch: Path, rows: int, model: str) -> None:
    """One job between two measurements of the model alone."""
    wcs, models = make_survey(folder), make_models(folder)
    _, _, ra, dec = make_plan(folder, wcs, rows)
    catalogue = scratch / "catalogue.fits"
    Table({"id": np.arange(rows), "ra": ra, "dec": dec}).write(catalogue)
    call = best_call(models[model], 1.0)
    before = model_alone(models[model], call, 5.0)
    with service(folder, scratch, model) as client:
        few = slice(2 * (os.cpu_count() or 1) * CHUNK)  # enough that each process has loaded and mapped all
        client.submit(Table({"ra": ra[few], "dec": dec[few]}), survey="bench").wait()
        start = perf_counter()
        job = client.submit(catalogue, survey="bench")
        queued = perf_counter()
        state = job.wait()
        done = perf_counter()
        assert state.rows.failed == 0, state
        fetched = {ending: _seconds(partial(job.save, scratch / f"results.{ending}")) for ending in FORMATS}
        read = _seconds(job.to_table)
    after = model_alone(models[model], call, 5.0)
    rate, alone = rows / (done - queued), (before + after) / 2
    print(f"{os.cpu_count()} cores, {rows} rows, {model}, a worker with {os.cpu_count()} processes")
    print(f"uploaded, checked, planned and queued: {queued - start:.1f} s")
    print(f"measured: {done - queued:.1f} s, {rate:.0f} rows/s")
    print(f"the model alone: {before:.0f} rows/s before, {after:.0f} after; ratio {rate / alone:.2f}")
    print("results fetched: " + ", ".join(f"{ending} {seconds:.1f} s" for ending, seconds in fetched.items()))
    print(f"to_table(): {read:.1f} s")


@contextmanager
def service(folder: Path, scratch: Path, model: str) -> Iterator[Client]:
    """All parts of a service, as processes, and a client of it."""
    ports = {name: free_port() for name in ("gateway", "redis", "model-server")}
    settings = {
        "REDDEN_MODELS_DIR": str(folder),
        "REDDEN_SURVEYS_DIR": str(folder),
        "REDDEN_DEFAULT_MODEL": model,
        "REDDEN_MODEL_SERVER": f"127.0.0.1:{ports['model-server']}",
        "REDDEN_REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "REDDEN_JOBS_URL": str(scratch / "jobs"),
        "REDDEN_PREDICT_DEADLINE": "60",
    }
    config = f'bind 127.0.0.1\nport {ports["redis"]}\ndir "{scratch}"\nsave ""\nappendonly yes\n'
    gateway = ("uvicorn", "--factory", "service.app:create_app", "--port", str(ports["gateway"]))
    with Children(scratch, settings) as children:
        children.start("redis", (redis_binary(), "-"), config)
        for name, command in {
            "model-server": ("service", "model-server"),
            "gateway": gateway,
            "worker": ("service", "worker", "--concurrency", str(os.cpu_count())),
        }.items():
            children.start(name, (sys.executable, "-m", *command))
        url = f"http://127.0.0.1:{ports['gateway']}"
        while not _ready(url):
            children.check()
            sleep(0.2)
        with Client(url, timeout=600) as client:
            yield client


def _ready(url: str) -> bool:
    with suppress(httpx.TransportError):
        parts = httpx.get(f"{url}/readyz").json()
        return bool(parts["ready"] and parts["queue"] == "AVAILABLE")
    return False


def _seconds(do: Callable[[], object]) -> float:
    start = perf_counter()
    do()
    return perf_counter() - start


if __name__ == "__main__":
    main()
