"""Cutana on the rows of ``benchmarks/bulk.py``, in an environment of its own, alone or before TensorFlow.

Needs cutana 0.4.0, and TensorFlow if a model is given. Two processes cut with cutana's in-process interface, which
spares it files and the start of its workers; one more asks the model. All have done it once before the clock runs.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from cutana import create_cutouts_direct, get_default_config

ROWS = 1000
"""Rows in one call of cutana."""

BATCH = 256


def _cut(rows: pd.DataFrame, bands: list[str]) -> np.ndarray:
    """The fastest settings that do the same as we: no checks, each band scaled to 0...1."""
    config = get_default_config()
    config.target_resolution = 32
    config.apply_flux_conversion = False
    config.skip_catalogue_validation = config.skip_fits_check = True
    config.selected_extensions = [{"name": band, "ext": "PRIMARY"} for band in bands]
    config.channel_weights = {band: [float(band == other) for other in bands] for band in bands}
    return np.concatenate([part["cutouts"] for part in create_cutouts_direct(rows, config, max_workers=1)])


def _count(rows: pd.DataFrame, bands: list[str]) -> int:
    return len(_cut(rows, bands))


def _parts(catalogue: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (catalogue[start : start + ROWS] for start in range(0, len(catalogue), ROWS))


def _load(model: Path, bands: int) -> Any:
    import tensorflow as tf

    signature = tf.saved_model.load(str(model)).signatures["serving_default"]
    signature(pixels=tf.zeros((BATCH, 32, 32, bands)))
    return lambda pixels: signature(pixels=tf.constant(pixels))["mean"].numpy()


def main() -> None:
    """Cut all rows, ask the model if there is one, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--bands", required=True)
    parser.add_argument("--model", type=Path, help="SavedModel")
    arguments = parser.parse_args()
    bands = arguments.bands.split(",")
    catalogue = pd.read_csv(arguments.catalogue)
    with get_context("spawn").Pool(2) as pool:
        for _ in pool.imap_unordered(partial(_count, bands=bands), [catalogue[:20]] * 6):
            pass
        ask = _load(arguments.model, len(bands)) if arguments.model else None
        rows, start = 0, perf_counter()
        if ask is None:
            rows = sum(pool.imap_unordered(partial(_count, bands=bands), _parts(catalogue)))
        else:
            for pixels in pool.imap_unordered(partial(_cut, bands=bands), _parts(catalogue)):
                for first in range(0, len(pixels), BATCH):
                    rows += len(ask(pixels[first : first + BATCH].astype(np.float32)))
        seconds = perf_counter() - start
    print(json.dumps({"rows": rows, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
