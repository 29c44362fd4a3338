"""Write what was found of real galaxies: the values, how they compare, and the figures."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from redden.dust import a_v_from_beta
from redden.posterior import PROBABILITIES
from training.real.figures import draw_real
from training.real.measure import MeasuredGalaxy
from training.report.page import write_page
from training.report.table import Rows, markdown

COMPARED: Final = {
    "A_V of SED fits": ("a_v", "a_v"),
    "log sSFR of SED fits over 10 Myr": ("log_ssfr_10", "log_ssfr"),
    "log sSFR of SED fits over 100 Myr": ("log_ssfr_100", "log_ssfr"),
    "A_V of Meurer's relation": ("beta", "a_v"),
}
"""Reference value and the quantity of ours that it is compared with, by heading."""

NO_REFERENCE: Final = "No galaxy that was measured has a reference value to compare with."

_SHOWN: Final = 10
"""Most galaxies without a measurement that are named."""

_MEDIAN: Final = PROBABILITIES.index(0.5)


def write_comparison(measured: Sequence[MeasuredGalaxy], directory: Path) -> Rows:
    """Write ``values.csv``, ``comparison.md``, ``index.html`` and the figures into a directory.

    Returns
    -------
    list of list of str
        The table of differences, heading first.
    """
    directory.mkdir(parents=True, exist_ok=True)
    every = values(measured)
    with (directory / "values.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(every)
    differences = compared(measured)
    (directory / "comparison.md").write_text(summary(differences) + "\n" + markdown(every), encoding="utf-8")
    captions = draw_real(measured, directory)
    paragraphs = [
        "Differences are those of medians to the reference values, over the galaxies that have both. SED fits are no "
        "truth: their A_V depends on the history and the dust law that they assume. Intervals are of 68 %."
    ]
    tables = {"Differences to reference values": differences, "Values": every}
    if len(differences) == 1:
        paragraphs = [f"{NO_REFERENCE} Intervals are of 68 %."]
        del tables["Differences to reference values"]
    write_page(directory / "index.html", f"{len(measured)} real galaxies", paragraphs, tables, captions)
    return differences


def summary(differences: Rows) -> str:
    """The table of differences in Markdown, or a sentence if it is empty."""
    return markdown(differences) if len(differences) > 1 else f"{NO_REFERENCE}\n"


def failures(measured: Sequence[MeasuredGalaxy], models: int) -> str:
    """How many galaxies a model could not measure, and why; empty if there is none.

    Parameters
    ----------
    measured : sequence of MeasuredGalaxy
    models : int
        Number of models: their measurements are the first of each galaxy.
    """
    failed = []
    for one in measured:
        if found := next((found for found in one.measurements[:models] if found.problem), None):
            by = f"{found.method}: " if found.method else ""
            failed.append(f"{one.galaxy.id}: {by}{found.problem}")
    if not failed:
        return ""
    more = [f"and {len(failed) - _SHOWN} more, see values.csv"] if len(failed) > _SHOWN else []
    reasons = "\n".join([*failed[:_SHOWN], *more])
    return f"{len(failed)} of {len(measured)} galaxies could not be measured:\n{reasons}\n"


def values(measured: Sequence[MeasuredGalaxy]) -> Rows:
    """A row for each galaxy and method, heading first."""
    names = [f"{name}_{part}" for name in ("a_v", "log_ssfr") for part in ("low", "median", "high")]
    rows = [["id", "z", "method", *names, "in domain", "problem"]]
    for one in measured:
        for found in one.measurements:
            numbers = [*found.a_v[_MEDIAN - 1 : _MEDIAN + 2], *found.log_ssfr[_MEDIAN - 1 : _MEDIAN + 2]]
            like = "" if found.in_domain is None else ("yes" if found.in_domain else "no")
            cells = ["" if np.isnan(number) else f"{number:.3f}" for number in (one.galaxy.z, *numbers)]
            rows.append([one.galaxy.id, cells[0], found.method, *cells[1:], like, found.problem])
    return rows


def compared(measured: Sequence[MeasuredGalaxy]) -> Rows:
    """MAE, sigma and mean of the difference of each method to each reference, heading first."""
    rows = [["reference", "method", "galaxies", "MAE", "sigma", "mean difference"]]
    methods = dict.fromkeys(found.method for one in measured for found in one.measurements if found.method)
    for heading, (reference, quantity) in COMPARED.items():
        for method in methods:
            if reference == "beta" and method == "Meurer":
                continue
            pairs = [
                (getattr(found, quantity)[_MEDIAN], _reference(one, reference))
                for one in measured
                for found in one.measurements
                if found.method == method
            ]
            difference = np.array([ours - theirs for ours, theirs in pairs if np.isfinite(ours - theirs)])
            if difference.size:
                numbers = (np.abs(difference).mean(), difference.std(), difference.mean())
                rows.append([heading, method, str(difference.size), *(f"{number:.3f}" for number in numbers)])
    return rows


def _reference(one: MeasuredGalaxy, name: str) -> float:
    return float(a_v_from_beta(one.beta[0], "Calzetti")) if name == "beta" else one.galaxy.references[name][0]
