"""Nested sampling by Bagpipes itself beside our way to the same posterior: python benchmarks/nested_sampling.py

One mock galaxy at redshift 7 with A_V = 1, in three bands with errors of 3 %, is fitted twice: by
`training.rivals.bagpipes`, and by `bagpipes.fit` with Nautilus, with the same models, priors and errors. What is given
is the processor time of one process, and the share of Nautilus' samples below our quantiles, which is to be that of
the quantile. Needs the extras `training` and `sed`.
"""

import argparse
import os
import sys
import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redden.posterior import PROBABILITIES
from training.rivals import bagpipes as rival
from training.rivals.mocks import ALL_BANDS

Array = NDArray[np.float64]

REDSHIFT = 7.0
BANDS = ["F277W", "F356W", "F444W"]
NOISE = 0.03
SHOWN = slice(1, 4)
"""Of `PROBABILITIES`: the median and the ends of the 68 % interval."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=int, default=400, help="live points of Nautilus")
    parser.add_argument("--effective", type=int, default=0, help="samples after the exploration, whose own are dropped")
    parser.add_argument("--seed", type=int, default=0, help="of Nautilus")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # of steps in Bagpipes that fail for some parameters
    np.seterr(all="ignore")
    with TemporaryDirectory() as place:
        flux, error = mock(Path(place))
        start = process_time()
        ours = rival.Bagpipes("lognormal").fit(in_all_bands(flux), in_all_bands(error), REDSHIFT)
        report("ours", ours, process_time() - start)
        nested = own_fit(flux, error, Path(place))
        sampling = sys.modules["bagpipes.fitting.fit"]
        sampling.Sampler = partial(sampling.Sampler, seed=given.seed)
        start = process_time()
        nested.fit(
            sampler="nautilus", n_live=given.live, n_eff=given.effective, discard_exploration=given.effective > 0
        )
        samples = nested.posterior.samples["dust:Av"], nested.posterior.samples["ssfr"]
    report("Nautilus", [np.quantile(values, PROBABILITIES) for values in samples], process_time() - start)
    for name, values, quantiles in zip(("A_V", "log sSFR"), samples, ours, strict=True):
        below = " ".join(f"{(values < quantile).mean():.2f}" for quantile in quantiles[SHOWN])
        print(f"{name}: below our 16, 50 and 84 % lie {below} of {len(values)} samples")


def report(name: str, quantiles: Any, seconds: float) -> None:
    """Print medians and 68 % intervals."""
    a_v, log_ssfr = (" ".join(f"{value:.2f}" for value in values[SHOWN]) for values in quantiles)
    print(f"{name:9} A_V {a_v}  log sSFR {log_ssfr}  {seconds:.0f} s", flush=True)


def mock(place: Path) -> tuple[Array, Array]:
    """Fluxes of a model galaxy in `BANDS` and their errors, in nJy."""
    components = {
        "redshift": REDSHIFT,
        "lognormal": {"massformed": 9.0, "tmax": 0.8, "fwhm": 0.5, "metallicity": 0.3},
        "nebular": {"logU": -2.5},
        "dust": {"type": "Calzetti", "Av": 1.0},
    }
    curves = rival.write_curves(place, BANDS)
    model = rival.import_bagpipes().model_galaxy(components, filt_list=curves, phot_units="mujy")
    flux = 1000 * model.photometry
    return flux, NOISE * flux


def own_fit(flux: Array, error: Array, place: Path) -> Any:
    """A `bagpipes.fit` with the priors and errors of `training.rivals.bagpipes`, which writes into `place`."""
    bagpipes = rival.import_bagpipes()
    bagpipes.utils.working_dir = str(place)
    os.chdir(place)
    instructions: dict[str, Any] = {"redshift": REDSHIFT, "nebular": {}, "dust": {"type": "Calzetti"}}
    instructions["lognormal"] = {"massformed": (5.0, 13.0)}
    for component, name, prior in (
        *(("lognormal", *each) for each in rival.HISTORIES["lognormal"].items()),
        ("lognormal", "metallicity", rival.METALLICITY),
        ("nebular", "logU", rival.LOG_U),
        ("dust", "Av", rival.A_V),
    ):
        instructions[component][name] = (prior.low, prior.high)
        instructions[component][f"{name}_prior"] = "log_10" if prior.logarithmic else "uniform"
    photometry = np.column_stack([flux, np.hypot(error, rival.FLUX_FLOOR * flux)]) / 1000
    curves = rival.write_curves(place, BANDS)
    galaxy = bagpipes.galaxy("mock", lambda _: photometry, spectrum_exists=False, filt_list=curves)
    return bagpipes.fit(galaxy, instructions, n_posterior=2000)


def in_all_bands(values: Array) -> Array:
    """The same with NaN for the bands that are not in `BANDS`."""
    everywhere = np.full(len(ALL_BANDS), np.nan)
    everywhere[[ALL_BANDS.index(band) for band in BANDS]] = values
    return everywhere


if __name__ == "__main__":
    main()
