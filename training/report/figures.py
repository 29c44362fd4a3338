"""The paper's figures of simulated galaxies: examples, labels, training, and estimates against the truth."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from redden.modelcard import QuantityName
from training.evaluate import Measured
from training.figures import NAMES, save
from training.report.table import NAMES as PLAIN_NAMES

Array = NDArray[np.float64]

DENSITIES: Final = (0.10, 0.30, 0.50, 0.70, 0.95)
"""Shares of the galaxies that the contours hold."""
EXAMPLES: Final = 6
_AXIS: Final = {"a_v": "$A_V$ [mag]", "e_bv": "$E(B-V)$ [mag]", "r_v": "$R_V$", "log_ssfr": "log sSFR [1/yr]"}
_MOST_POINTS: Final = 2000
_NODES: Final = 80


def draw_report(measured: Sequence[Measured], runs: Sequence[Path], directory: Path) -> dict[str, str]:
    """Draw every figure as PNG and PDF.

    Parameters
    ----------
    measured : sequence of Measured
        Models on the test galaxies of one data set.
    runs : sequence of Path
        Directory of each, with the history of the fit if it is a run.
    directory : Path
        For the pictures.

    Returns
    -------
    dict of str to str
        Caption of each figure, by its name without suffix, in the order of the paper.
    """
    data = f"the test galaxies of {measured[0].data_card.name}"
    widest = max(measured, key=lambda one: len(one.card.bands))
    # A picture, or None where there is nothing to draw, and its caption.
    figures: dict[str, tuple[Callable[[], Picture | None], str]] = {
        "figure1": (
            lambda: examples(widest),
            f"Images of {data}, as {widest.card.name} sees them, from little dust to much.",
        ),
        "figure2": (lambda: labels(measured[0]), f"Labels of {data}."),
        "figure3": (lambda: training(runs), "Loss on training (thin) and validation galaxies (thick) by epoch."),
    }
    for number, name in (("5", "e_bv"), ("6", "a_v"), ("7", "r_v"), ("8", "log_ssfr")):
        figures[f"figure{number}"] = (
            lambda name=name: against_truth(measured, name),  # type: ignore[misc]
            f"{PLAIN_NAMES[name]}: estimates against the truth, with contours that hold 10, 30, 50, 70 and 95 % of the "
            "galaxies; distributions of both; and the differences.",
        )
    captions = {}
    for figure, (draw, caption) in figures.items():
        if (picture := draw()) is not None:
            save(picture, directory / figure)
            captions[figure] = caption
    return captions


def examples(measured: Measured) -> Picture:
    """A row of images for each of a few test galaxies, at even steps through their order by A_V."""
    order = np.argsort(measured.test.truth["a_v"])
    rows = order[np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).round().astype(int)]
    bands = measured.card.bands
    picture = Picture(figsize=(1.5 * len(rows), 1.6 * len(bands) + 0.3), layout="constrained")
    panels = picture.subplots(len(bands), len(rows), squeeze=False)
    for column, row in enumerate(rows):
        for place, band in enumerate(bands):
            axes = panels[place, column]
            axes.imshow(measured.test.pixels[row, ..., place], origin="lower", cmap="magma")
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(band)
        panels[0, column].set_title(f"{NAMES['a_v']} = {measured.test.truth['a_v'][row]:.2f}", fontsize=9)
    return picture


def labels(measured: Measured) -> Picture:
    """Histograms of the true values."""
    picture = Picture(figsize=(11, 2.6), layout="constrained")
    for axes, name in zip(picture.subplots(1, len(_AXIS)), _AXIS, strict=True):
        values = measured.test.truth[name]
        axes.hist(values[np.isfinite(values)], bins=40, color="C0", alpha=0.7)
        axes.set_xlabel(_AXIS[name])
    picture.axes[0].set_ylabel("images")
    return picture


def training(runs: Sequence[Path]) -> Picture | None:
    """Loss by epoch of each part of each run; None if there is no history, as with exported models."""
    histories: list[tuple[str, dict[str, dict[str, list[float]]]]] = [
        (run.name, json.loads((run / "history.json").read_text(encoding="utf-8")))
        for run in runs
        if (run / "history.json").exists()
    ]
    if not histories:
        return None
    picture = Picture(figsize=(4.2 * len(histories), 3.2), layout="constrained")
    for axes, (run, parts) in zip(picture.subplots(1, len(histories), squeeze=False)[0], histories, strict=True):
        for colour, (part, curves) in enumerate(parts.items()):
            for kind, width in (("loss", 0.7), ("val_loss", 1.8)):
                axes.plot(curves.get(kind, []), f"C{colour}", lw=width, label=part if kind == "val_loss" else None)
        axes.set(title=run, xlabel="epoch", ylabel="loss")
        axes.legend(fontsize=8)
    return picture


def against_truth(measured: Sequence[Measured], name: QuantityName) -> Picture:
    """A column for each model: estimates against truth with contours, both distributions, and the differences."""
    picture = Picture(figsize=(4.0 * len(measured), 7.4), layout="constrained")
    panels = picture.subplots(3, len(measured), squeeze=False, height_ratios=(2.4, 1, 1))
    for column, one in zip(panels.T, measured, strict=True):
        truth, estimate = one.test.truth[name], one.median(name)
        known = np.isfinite(estimate) & np.isfinite(truth)
        truth, estimate = truth[known], estimate[known]
        low, high = np.quantile(np.concatenate([truth, estimate]), [0.002, 0.998])
        _scatter(column[0], truth, estimate, (low, high))
        column[0].set_title(f"{one.card.name} ({', '.join(one.card.bands)})", fontsize=10)
        column[0].set(xlabel=f"true {_AXIS[name]}", ylabel=f"estimate of {_AXIS[name]}")
        for values, label in ((truth, "truth"), (estimate, "estimates")):
            column[1].hist(values, bins=np.linspace(low, high, 41).tolist(), histtype="step", label=label)
        column[1].set(xlabel=_AXIS[name], ylabel="images")
        column[1].legend(fontsize=8)
        difference = estimate - truth
        least, most = np.quantile(difference, [0.005, 0.995])
        column[2].hist(difference, bins=np.linspace(least, most, 41).tolist(), color="0.6")
        column[2].axvline(0, color="k", lw=0.9)
        column[2].axvline(difference.mean(), color="C3", ls="--", lw=0.9)
        text = f"mean {difference.mean():+.3g}, sigma {difference.std():.3g}"
        column[2].set(xlabel=f"estimate - truth of {_AXIS[name]}", ylabel="images", title=text)
        column[2].title.set_fontsize(9)
    return picture


def _scatter(axes: Axes, truth: Array, estimate: Array, limits: tuple[float, float]) -> None:
    axes.plot(truth, estimate, ".", ms=1.5, color="0.6", alpha=0.5, rasterized=True)
    axes.plot(limits, limits, "k-", lw=0.8)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    points = np.stack([truth, estimate])[:, :_MOST_POINTS]
    if points.shape[1] < 10 or np.linalg.matrix_rank(np.cov(points)) < 2:
        return  # one value for all has no density
    density = gaussian_kde(points)
    # A share of the galaxies lies where the density is above its quantile among them.
    levels = np.unique(np.quantile(density(points), [1 - share for share in sorted(DENSITIES, reverse=True)]))
    nodes = np.linspace(*limits, _NODES)
    x, y = np.meshgrid(nodes, nodes)
    axes.contour(x, y, density([x.ravel(), y.ravel()]).reshape(x.shape), levels=levels, linewidths=0.9, cmap="viridis")
