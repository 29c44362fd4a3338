"""Small data sets of round blobs whose size and colour follow their dust, quick to make and easy to learn."""

from pathlib import Path

import numpy as np
import pytest

from redden.bands import BANDS as ALL_BANDS
from redden.grid import SIZE
from training import dataset
from training.simulate.scenes import SOURCE

BANDS = ("F277W", "F356W", "F444W")


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a data set of 400 blobs, two images each; every tenth has no dust."""
    rng = np.random.default_rng(7)
    galaxy = np.repeat(np.arange(400), 2)
    images = len(galaxy)
    a_v = np.where(galaxy % 10 == 0, 0.0, rng.uniform(0.3, 2.5, 400)[galaxy])
    e_bv = a_v / rng.uniform(4, 8, 400)[galaxy]
    log_ssfr = rng.normal(-8.2, 0.15, 400)[galaxy]
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    width = (1.5 + a_v)[:, None, None, None]
    colour = np.exp(-a_v[:, None] * np.array([0.5, 0.3, 0.1]) + (log_ssfr[:, None] + 8.2) * np.array([1, 0, 0]))
    shape = np.exp(-(x**2 + y**2)[None, :, :, None] / (2 * width**2))
    noise = rng.normal(0, 0.02, (images, SIZE, SIZE, 3))
    with np.errstate(invalid="ignore"):
        r_v = a_v / e_bv
    rows = {
        "images": 5 * shape * colour[:, None, None, :] + noise,
        "galaxy": galaxy,
        "orientation": np.tile([0, 1], 400),
        "dtm": a_v / 3,
        "z": np.full(images, 7.0),
        "log_mass": np.full(images, 9.0),
        "a_v": a_v,
        "e_bv": e_bv,
        "r_v": r_v,
        "log_ssfr": log_ssfr,
        "snr": np.full((images, 3), 50.0),
    }
    out = tmp_path_factory.mktemp("data") / "blobs"
    dataset.write(out, [(400, 0, rows)], source="blobs", bands=BANDS, settings={"seed": 7}, software="tests")
    return out


@pytest.fixture(scope="session")
def blob_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a data set of 500 noiseless blobs in seven bands, two views each, redder with more dust."""
    rng = np.random.default_rng(8)
    galaxy = np.repeat(np.arange(500), 2)
    images = len(galaxy)
    a_v = rng.uniform(0.3, 2.5, images)
    r_v = rng.uniform(5.5, 6.5, images)
    log_ssfr = rng.normal(-8.2, 0.15, 500)[galaxy]
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    width = (1.5 + 0.3 * a_v)[:, None, None, None]
    wavelength = np.array([band.pivot for band in ALL_BANDS.values()])
    colour = np.exp(-a_v[:, None] / wavelength + (log_ssfr[:, None] + 8.2) * (wavelength > 4))
    shape = np.exp(-(x**2 + y**2)[None, :, :, None] / (2 * width**2))
    rows = {
        "images": 6 * shape * colour[:, None, None, :],
        "galaxy": galaxy,
        "orientation": np.tile([0, 1], 500),
        "dtm": a_v / 3,
        "z": rng.uniform(6, 8, 500)[galaxy],
        "log_mass": np.full(images, 9.0),
        "a_v": a_v,
        "e_bv": a_v / r_v,
        "r_v": r_v,
        "log_ssfr": log_ssfr,
        "snr": np.full((images, 7), 50.0),
    }
    out = tmp_path_factory.mktemp("data") / "scenes"
    dataset.write(out, [(500, 0, rows)], source=SOURCE, bands=tuple(ALL_BANDS), settings={"seed": 8}, software="tests")
    return out
