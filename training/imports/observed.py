"""From noiseless scenes to a data set of observed images, which the networks of fixed bands are fitted to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from redden.posterior import QUANTITIES
from redden.snr import aperture_snr
from training import dataset
from training.dataset import DatasetError
from training.observe import SELECTED_IN, ObservationPrior, surveys
from training.scene_set import SceneSet
from training.simulate.scenes import NOISELESS
from training.software import CODE_VERSION


def observe_scenes(
    data: Path, directory: Path, *, prior: ObservationPrior, min_snr: float, seed: int
) -> dataset.DatasetCard:
    """Observe each scene of a data set once, and write the images that are bright enough in every band.

    Galaxies without dust are kept.

    Parameters
    ----------
    data : Path
        Data set of noiseless scenes.
    directory : Path
        New or empty directory.
    prior : ObservationPrior
        How they are observed.
    min_snr : float
        Least signal-to-noise ratio in every band, see `redden.snr.aperture_snr`.
    seed : int
        Of the observation.

    Raises
    ------
    DatasetError
        If the data set cannot be used, or has noise already.
    """
    card, rows = dataset.read(data)
    if not card.source.endswith(NOISELESS):
        raise DatasetError(f"{data} is not of noiseless scenes: it has been observed already.")
    check_selectable(card.bands)
    truth = {name: rows[name].astype(np.float64) for name in (*QUANTITIES, "z")}
    scenes = SceneSet(card.bands, rows["images"].astype(np.float16), truth, rows["galaxy"])
    kept, images, ratios = [], [], []
    for numbers, pixels, _ in surveys(scenes, prior, np.random.default_rng(seed)):
        snr = aperture_snr(pixels)
        bright = snr.min(axis=1) >= min_snr
        kept.append(numbers[bright])
        images.append(pixels[bright])
        ratios.append(snr[bright])
    if not sum(len(part) for part in kept):
        raise DatasetError(f"no scene of {data} has S/N {min_snr:g} at the depths {prior.depth}: observe deeper.")
    number = np.concatenate(kept)
    order = np.argsort(number)  # rows of one galaxy stay together
    observed = {name: column[number[order]] for name, column in rows.items()}
    observed["images"], observed["snr"] = np.concatenate(images)[order], np.concatenate(ratios)[order]
    return dataset.write(
        directory,
        [(card.galaxies, len(scenes) - len(number), observed)],
        source=f"{card.source}, observed",
        bands=card.bands,
        settings={
            "scenes": {"name": card.name, "sha256": card.sha256},
            "observation": prior.model_dump(mode="json"),
            "min_snr": min_snr,
            "seed": seed,
        },
        software=f"redden {CODE_VERSION}",
    )


def check_selectable(bands: Sequence[str]) -> None:
    """Refuse scenes that lack a band by which scenes are selected.

    Raises
    ------
    DatasetError
        If one is missing.
    """
    missing = [band for band in SELECTED_IN if band not in bands]
    if missing:
        raise DatasetError(
            f"scenes are selected by their S/N in {', '.join(SELECTED_IN)}; there is no {missing[0]} in "
            f"{', '.join(bands)}. Import the scenes with these bands."
        )
