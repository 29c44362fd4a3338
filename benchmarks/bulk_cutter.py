"""Cutting and normalising of ``benchmarks/bulk.py`` without a model, in processes that have done it once before."""

from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np

from redden.modelcard import ModelCard
from redden.modelinput import model_inputs
from service.bulk.cutting import BATCH, Cutter
from service.bulk.placement import place
from service.bulk.slicing import Opened, cut_pixels
from service.jobs.plan import Chunk, read_chunk
from service.jobs.store import Store
from service.memory import keep_freed_memory
from service.settings import Settings
from service.surveys.registry import Surveys
from service.surveys.survey import Survey


@cache
def _survey(folder: Path) -> Survey:
    keep_freed_memory()
    return Surveys.read(Settings(surveys_dir=folder)).get("bench")


def pixels_alone(survey: Survey, card: ModelCard, chunk: Chunk) -> int:
    """Cut, calibrate and normalise the rows of a chunk that lie inside of the mosaics. Returns how many."""
    rows = 0
    for found in place(survey, card.bands, chunk.ra, chunk.dec).places:
        opened = Opened.of(card, found)
        for start in range(0, len(found.rows), BATCH):
            part = slice(start, start + BATCH)
            pixels, _, alone = cut_pixels(survey, card, opened.part(part))
            assert not alone.any()
            rows += len(model_inputs(np.moveaxis(pixels, 1, -1), card)["pixels"])
    return rows


def with_snr(survey: Survey, card: ModelCard, chunk: Chunk) -> int:
    """The same with signal-to-noise ratios and flags, as a job has it."""
    cutouts = Cutter(survey, card, chunk.ra, chunk.dec).cutouts()
    return sum(len(model_inputs(some.pixels, card)["pixels"]) for some in cutouts if len(some.rows))


def _chunk(task: tuple[Path, Path, int, bool, Path]) -> int:
    folder, plan, number, snr, model = task
    chunk = read_chunk(Store.at(str(plan.parent)), plan.name, number)
    return (with_snr if snr else pixels_alone)(_survey(folder), ModelCard.read(model), chunk)


def cutting(folder: Path, plan: Path, chunks: int, model: Path, *, snr: bool) -> float:
    """Rows/s of two processes."""
    with get_context("spawn").Pool(2) as pool:
        tasks = [(folder, plan, number, snr, model) for number in range(chunks)]
        pool.map(_chunk, tasks[:4], 1)
        start = perf_counter()
        rows = sum(pool.imap_unordered(_chunk, tasks))
        return rows / (perf_counter() - start)
