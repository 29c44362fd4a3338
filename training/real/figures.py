"""The paper's figures of real galaxies: their images, and what methods say against SED fits and slopes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray

from redden.dust import a_v_from_beta
from redden.posterior import PROBABILITIES
from training.figures import NAMES, save
from training.real.measure import MeasuredGalaxy, Measurement

Array = NDArray[np.float64]

MOST_IMAGES: Final = 8
_LOW, _MEDIAN, _HIGH = (PROBABILITIES.index(p) for p in (0.16, 0.5, 0.84))


def draw_real(measured: Sequence[MeasuredGalaxy], directory: Path) -> dict[str, str]:
    """Draw figures 4, 9, 10 and 11 as PNG and PDF, those for which there is something to draw.

    Returns
    -------
    dict of str to str
        Captions by name without suffix.
    """
    open_symbols = "Open symbols: galaxies that are not like those that the model was trained on."
    figures: dict[str, tuple[Callable[[], Picture | None], str]] = {
        "figure4": (lambda: images(measured), "The galaxies in each band, as they are measured."),
        "figure9": (
            lambda: against(measured, ("a_v",)),
            f"A_V against that of SED fits; bars are 68 % intervals. {open_symbols}",
        ),
        "figure10": (
            lambda: against(measured, ("log_ssfr_10", "log_ssfr_100")),
            f"log sSFR against that of SED fits over 10 and over 100 Myr; ours is over 100 Myr. {open_symbols}",
        ),
        "figure11": (
            lambda: against_beta(measured),
            f"A_V against the ultraviolet slope, with Meurer's relation (line). {open_symbols}",
        ),
    }
    captions = {}
    for name, (draw, caption) in figures.items():
        if (picture := draw()) is not None:
            save(picture, directory / name)
            captions[name] = caption
    return captions


def images(measured: Sequence[MeasuredGalaxy]) -> Picture | None:
    """A column of cutouts for each of the first galaxies."""
    shown = [(one.galaxy.id, one.cutout) for one in measured if one.cutout is not None][:MOST_IMAGES]
    if not shown:
        return None
    rows = max(len(cutout.bands) for _, cutout in shown)
    picture = Picture(figsize=(1.7 * len(shown), 1.7 * rows + 0.3), layout="constrained")
    panels = picture.subplots(rows, len(shown), squeeze=False)
    for column, (name, cutout) in zip(panels.T, shown, strict=True):
        for place, axes in enumerate(column):
            axes.set(xticks=[], yticks=[])
            if place < len(cutout.bands):
                axes.imshow(cutout.pixels[..., place], origin="lower", cmap="magma")
                axes.set_ylabel(cutout.bands[place], fontsize=8)
            else:
                axes.set_axis_off()
        column[0].set_title(name, fontsize=9)
    return picture


def against(measured: Sequence[MeasuredGalaxy], references: Sequence[str]) -> Picture | None:
    """What each method says against reference values, a panel for each reference."""
    picture = Picture(figsize=(4.6 * len(references), 4.2), layout="constrained")
    drawn = [
        _draw_against(axes, measured, name)
        for axes, name in zip(picture.subplots(1, len(references), squeeze=False)[0], references, strict=True)
    ]
    return picture if any(drawn) else None


def against_beta(measured: Sequence[MeasuredGalaxy]) -> Picture | None:
    """A_V of each method against the slope."""
    picture = Picture(figsize=(4.8, 4.2), layout="constrained")
    axes = picture.subplots()
    points = [(one.beta, found) for one in measured for found in one.measurements if np.isfinite(one.beta[0])]
    for colour, (method, own) in enumerate(
        _by_method([(*x, found) for x, found in points if found.method != "Meurer"])
    ):
        _errorbars(axes, own, "a_v", f"C{colour}", method)
    if not axes.has_data():
        return None
    beta = np.linspace(-3.0, max(0.0, *(x for (x, _), _ in points)), 100)
    axes.plot(beta, a_v_from_beta(beta, "Calzetti"), "k-", lw=0.9, label="Meurer et al. (1999)")
    axes.set(xlabel=r"$\beta$", ylabel=NAMES["a_v"])
    axes.legend(fontsize=8)
    return picture


Point = tuple[float, float, Measurement]
"""A reference value, its error, and what a method says."""


def _draw_against(axes: Axes, measured: Sequence[MeasuredGalaxy], reference: str) -> bool:
    quantity = "a_v" if reference == "a_v" else "log_ssfr"
    points = [
        (*one.galaxy.references[reference], found)
        for one in measured
        for found in one.measurements
        if np.isfinite(one.galaxy.references[reference][0])
    ]
    for colour, (method, own) in enumerate(_by_method(points)):
        _errorbars(axes, own, quantity, f"C{colour}", method)
    myr = f" over {reference.rsplit('_', 1)[1]} Myr" if quantity == "log_ssfr" else ""
    axes.set(xlabel=f"{NAMES[quantity]} of SED fits{myr}", ylabel=NAMES[quantity])
    if not axes.has_data():
        return False
    low, high = min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], "k-", lw=0.8)
    axes.legend(fontsize=8)
    return True


def _by_method(points: Sequence[Point]) -> Iterator[tuple[str, list[Point]]]:
    for method in dict.fromkeys(found.method for _, _, found in points):
        yield method, [point for point in points if point[2].method == method]


def _errorbars(axes: Axes, points: Sequence[Point], quantity: str, colour: str, label: str) -> None:
    for x, x_error, found in points:
        values: Array = getattr(found, quantity)
        if not np.isfinite(values[_MEDIAN]):
            continue
        middle = values[_MEDIAN]
        bars = np.nan_to_num([[middle - values[_LOW]], [values[_HIGH] - middle]])
        face = "none" if found.in_domain is False else colour
        axes.errorbar(
            [x],
            [middle],
            yerr=bars,
            xerr=[np.nan_to_num(x_error)],
            fmt="o",
            color=colour,
            mfc=face,
            ms=5,
            lw=0.8,
            label=label,
        )
        label = "_nolegend_"  # one entry for each method
