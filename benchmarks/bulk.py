"""How fast the rows of a catalogue are measured, beside the model alone and beside cutana.

``python benchmarks/bulk.py`` makes three mosaics of 8192x8192 pixels and a catalogue, starts a local model server, and
measures the catalogue with workers that do what Celery's do: read a chunk of the plan, measure it, write its part. All
of it runs on the same cores, one after the other, so compare the ratios, not the absolute rates, between machines.
Cutana is installed into an environment of its own below ``--folder``.
"""

import argparse
import cProfile
import json
import os
import platform
import pstats
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np
import pyarrow as pa
import pyarrow.csv
from astropy.io import fits
from astropy.wcs import WCS
from bulk_cutter import cutting
from bulk_models import best_call, make_models, model_alone, through_socket
from rich.console import Console
from rich.table import Table

from redden.modelcard import ModelCard
from redden.modelinput import model_inputs
from redden.posterior import quantiles
from service.bulk.cutting import Cutter
from service.jobs.plan import write_plan
from service.memory import keep_freed_memory
from service.processes import Children, free_port
from service.settings import Settings
from service.surveys.registry import Surveys

ROOT = Path(__file__).parents[1]
SIDE = 8192
BANDS = ("F277W", "F356W", "F444W")
CHUNK = Settings.model_fields["chunk_rows"].default
CUTANA = "cutana==0.4.0"


def make_survey(folder: Path) -> WCS:
    """Mosaics of noise with a source every 32 pixels, and their survey file."""
    y, x = np.mgrid[:32, :32] - 15.5
    sources = np.tile((0.05 * np.exp(-(x**2 + y**2) / 18)).astype(np.float32), (SIDE // 32, SIDE // 32))
    header = fits.Header({"BUNIT": "MJy/sr", "RADESYS": "ICRS", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    header.update({"CRVAL1": 53.1, "CRVAL2": -27.8, "CRPIX1": SIDE / 2 + 0.5, "CRPIX2": SIDE / 2 + 0.5})
    header.update({"CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600})
    text = 'name = "bench"\ntitle = "Noise"\n'
    for seed, band in enumerate(BANDS):
        file = folder / f"bench_{band.lower()}.fits"
        if not file.exists():
            noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE), dtype=np.float32)
            fits.PrimaryHDU(0.002 * noise + sources, header).writeto(file)
        text += f'[bands.{band}]\nmosaics = ["{file.name}"]\n'
    (folder / "bench.toml").write_text(text, encoding="utf-8")
    return WCS(header)


def make_plan(folder: Path, wcs: WCS, rows: int) -> tuple[Path, int, np.ndarray, np.ndarray]:
    """A catalogue of positions all over the mosaics, as the plan of a job: its folder, chunks, and positions."""
    pixels = np.random.default_rng(rows).uniform(20, SIDE - 20, (rows, 2))
    ra, dec = wcs.wcs_pix2world(pixels, 0).T
    plan = folder / f"plan-{rows}"
    plan.mkdir(exist_ok=True)
    return plan, write_plan(plan, rows, CHUNK, ra, dec, None), ra, dec


def whole_path(
    folder: Path, plan: Path, chunks: int, model: Path, address: str, workers: int
) -> tuple[float, int, float]:
    """Seconds for the plan with some workers, rows measured, and the most memory of a worker after a chunk in MiB."""
    children = []
    for number in range(workers):
        out = folder / f"parts-{model.parent.name}-{number}"
        command = [sys.executable, str(ROOT / "benchmarks" / "bulk_worker.py"), plan, folder, model, address, out]
        share = ["--share", str(number), str(chunks), str(workers)]
        children.append(
            subprocess.Popen([*map(str, command), *share], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    start = perf_counter()
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [json.loads(child.stdout.readline()) for child in children if child.stdout]
    seconds = perf_counter() - start
    for child in children:
        child.communicate()
    return seconds, sum(answer["measured"] for answer in answers), max(answer["memory"] for answer in answers)


def profile(folder: Path, model: Path, ra: np.ndarray, dec: np.ndarray) -> dict[str, float]:
    """Microseconds of one core for a row, by what they are spent on; without the model and the way to it."""
    names = {
        "where it is (WCS, tiles, order)": ("placement.py", "place"),
        "reading, masks and units": ("slicing.py", "cut_pixels"),
        "S/N and flags": ("slicing.py", "_looked_at"),
        "normalising": ("modelinput.py", "model_inputs"),
        "quantiles": ("posterior.py", "quantiles"),
        "all of the above and the rest": ("bulk.py", "_profiled"),
    }
    surveys, card = Surveys.read(Settings(surveys_dir=folder)), ModelCard.read(model)
    rows = np.argsort(dec)[: 8 * CHUNK]
    keep_freed_memory()  # as a worker does

    def _profiled() -> None:
        for chunk in np.array_split(rows, 8):
            for cutouts in Cutter(surveys.get("bench"), card, ra[chunk], dec[chunk]).cutouts():
                if len(cutouts.rows):
                    model_inputs(cutouts.pixels, card)
        quantiles(card, {"mean": np.ones((len(rows), 3), dtype=np.float32)})

    _profiled()  # a worker opens its mosaics once
    profiler = cProfile.Profile(thread_time)  # time on the processor, whatever else it does
    profiler.runcall(_profiled)
    surveys.close()
    found = {(Path(file).name, name): stat[3] for (file, _, name), stat in pstats.Stats(profiler).stats.items()}
    return {what: found.get(where, 0.0) / len(rows) * 1e6 for what, where in names.items()}


def cutana(folder: Path, ra: np.ndarray, dec: np.ndarray, rows: int, model: Path | None = None) -> float:
    """Rows/s of cutana in two processes, before TensorFlow if a model is given."""
    environment = folder / "cutana"
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, symlinks=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", CUTANA], check=True)
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (next(environment.glob("lib/*/site-packages")) / "tensorflow.pth").write_text(ours + "\n")
    files = str([str(folder / f"bench_{band.lower()}.fits") for band in BANDS])
    order = np.argsort(dec)[:: max(1, len(dec) // rows)][:rows]
    catalogue = folder / "cutana.csv"
    table = {"SourceID": order, "RA": ra[order], "Dec": dec[order]}
    table |= {"diameter_pixel": np.full(len(order), 32), "fits_file_paths": [files] * len(order)}
    pa.csv.write_csv(pa.table(table), catalogue)
    command = [python, ROOT / "benchmarks" / "cutana_worker.py", catalogue]
    command += ["--bands", ",".join(f"bench_{band.lower()}" for band in BANDS), *(["--model", model] if model else [])]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, cwd=folder)
    answer = json.loads(done.stdout.splitlines()[-1])
    return float(answer["rows"] / answer["seconds"])


def _timed(what: str, measure: Callable[[], float]) -> float:
    load = os.getloadavg()[0]
    rate = measure()
    print(f"{what}: {rate:.0f} rows/s (load before {load:.1f})", flush=True)
    return rate


def main() -> None:
    """Measure, and print the conditions, two tables and the profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep mosaics and environments here; by default all is removed")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rival-rows", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory-rows", type=int, default=1_000_000, help="0: leave the comparison of memory out")
    parser.add_argument("--no-cutana", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, arguments)


def run(folder: Path, arguments: argparse.Namespace) -> None:
    """All measurements, with everything in one folder."""
    wcs, models = make_survey(folder), make_models(folder)
    plan, chunks, ra, dec = make_plan(folder, wcs, arguments.rows)
    rates: dict[str, float] = {}
    peaks: dict[int, float] = {}
    address = f"127.0.0.1:{free_port()}"
    with Children(folder, {"REDDEN_MODELS_DIR": str(folder)}) as children:
        children.start("model-server", (sys.executable, "-m", "service", "model-server", "--address", address))

        def measured(model: str, plan: Path, chunks: int, rows: int, workers: int) -> float:
            seconds, done, peaks[rows] = whole_path(folder, plan, chunks, models[model], address, workers)
            assert done == rows, f"{done} of {rows} rows were measured"
            return rows / seconds

        def model_rates(model: str) -> None:
            """The model alone is measured before and after all else: the machine may change meanwhile."""
            call = best_call(models[model], 1.0)
            before = _timed(f"{model} alone", lambda: model_alone(models[model], call, 5.0))
            rates[f"{model} socket"] = _timed(f"{model}, socket", lambda: through_socket(model, address, 5.0))
            rates[model] = _timed(model, lambda: measured(model, plan, chunks, arguments.rows, arguments.workers))
            after = _timed(f"{model} alone", lambda: model_alone(models[model], call, 5.0))
            rates[f"{model} alone"] = (before + after) / 2

        for model in models:
            model_rates(model)
        for key, snr in (("cutting", False), ("cutting, S/N", True)):
            rates[key] = _timed(key, lambda: cutting(folder, plan, chunks, models["paper-3band"], snr=snr))  # noqa: B023
        if not arguments.no_cutana:
            few = arguments.rival_rows
            rates["cutana"] = _timed("cutana, two processes", lambda: cutana(folder, ra, dec, few))
            for model in models:
                rates[f"cutana {model}"] = _timed(
                    f"cutana + TensorFlow, {model}",
                    lambda: cutana(folder, ra, dec, few, models[model]),  # noqa: B023
                )
        for rows in (10_000, arguments.memory_rows) if arguments.memory_rows else ():
            large, parts, _, _ = make_plan(folder, wcs, rows)
            _timed(f"{rows} rows, one worker", lambda: measured("cheap-3band", large, parts, rows, 1))  # noqa: B023
    report(arguments, rates, peaks, profile(folder, models["paper-3band"], ra, dec))


def report(
    arguments: argparse.Namespace, rates: dict[str, float], peaks: dict[int, float], spent: dict[str, float]
) -> None:
    """Print conditions and tables."""
    console = Console(width=110)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "openvino", "pyarrow", "astropy", "grpcio"))
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{packages}; {arguments.rows} rows, {arguments.workers} workers, chunks of {CHUNK}, three bands"
    )
    table = Table("What", "Rows/s", "Beside", "Ratio", "Wanted")

    def line(what: str, key: str, beside: str, other: str, wanted: str) -> None:
        if key in rates and other in rates:
            table.add_row(what, f"{rates[key]:.0f}", beside, f"{rates[key] / rates[other]:.2f}", wanted)

    line("paper's network", "paper-3band", "the same model alone", "paper-3band alone", "0.85")
    line("paper's network", "paper-3band", "the same over a socket", "paper-3band socket", "")
    line("the same over a socket", "paper-3band socket", "the same model alone", "paper-3band alone", "")
    line("cheap network alone", "cheap-3band alone", "paper's network alone", "paper-3band alone", "10")
    table.add_row("cheap network", f"{rates['cheap-3band']:.0f}", "", "", "8000 rows/s")
    line("cheap network", "cheap-3band", "the same model alone", "cheap-3band alone", "")
    line("cheap network", "cheap-3band", "the same over a socket", "cheap-3band socket", "")
    line("cheap network", "cheap-3band", "cutana + TensorFlow, paper's network", "cutana paper-3band", "12")
    line("cheap network", "cheap-3band", "cutana + TensorFlow, cheap network", "cutana cheap-3band", "")
    line("paper's network", "paper-3band", "cutana + TensorFlow, paper's network", "cutana paper-3band", "")
    line("cutting and normalising, two processes", "cutting", "cutana, two processes", "cutana", "10")
    line("the same with S/N and flags", "cutting, S/N", "cutana, without them", "cutana", "")
    console.print(table)
    if len(peaks) > 2:
        few, many = 10_000, arguments.memory_rows
        console.print(
            f"Memory of a worker without mapped files: {peaks[few]:.0f} MiB at {few} rows, "
            f"{peaks[many]:.0f} MiB at {many}: {peaks[many] / peaks[few]:.2f} times (wanted: at most 1.2)"
        )
    steps = Table("Where a worker's time goes, paper's network", "us of one core for a row")
    for what, microseconds in spent.items():
        steps.add_row(what, f"{microseconds:.1f}")
    console.print(steps)


if __name__ == "__main__":
    main()
