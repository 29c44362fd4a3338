"""Pictures of calibration and of accuracy against cost, each as PNG and PDF."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from redden.errors import ReddenError
from training.calibration import CREDIBILITIES, Curve
from training.comparison import Assessment
from training.coverage_report import PICTURES, Calibration
from training.sizes import Size

NAMES: Final = {"a_v": "$A_V$", "e_bv": "$E(B-V)$", "r_v": "$R_V$", "log_ssfr": "log sSFR"}


class MissingSizeError(ReddenError):
    """There is no network of a size, or its speed is not known."""


_FORMATS: Final = ("png", "pdf")
_GREY: Final = "0.55"


def draw_calibration(calibration: Calibration, directory: Path) -> list[Path]:
    """Coverage curves with TARP, PIT histograms, and coverage in bins, into a directory."""
    draws = (_coverage_curves, _coverage_in_bins, _pit_histograms)
    return [
        file for name, draw in zip(PICTURES, draws, strict=True) for file in save(draw(calibration), directory / name)
    ]


def draw_accuracy(assessment: Assessment, directory: Path) -> list[Path]:
    """R2 of A_V of all methods, by bands and depth, against their CPU time."""
    depths = list(dict.fromkeys(row.depth for row in assessment.rows))
    picture = Picture(figsize=(5.2 * len(depths), 4.2), layout="constrained")
    for axes, depth in zip(_row_of_axes(picture, len(depths)), depths, strict=True):
        rows = [row for row in assessment.rows if row.depth == depth and "r2" in row.figures["a_v"]]
        for method in dict.fromkeys(row.method for row in rows):
            own = [row for row in rows if row.method == method]
            r2 = [row.figures["a_v"]["r2"] for row in own]
            cost = [row.milliseconds for row in own]
            axes.errorbar(cost, [r.value for r in r2], [r.error for r in r2], fmt="o", label=method, capsize=2)
            for row, figure in zip(own, r2, strict=True):
                axes.annotate(row.bands, (row.milliseconds, figure.value), (4, 4), textcoords="offset points", size=8)
        axes.axhline(0, color=_GREY, lw=0.8)
        axes.set(xscale="log", xlabel="CPU ms per galaxy", ylabel=f"$R^2$ of {NAMES['a_v']}", title=f"{depth:g} AB")
        axes.set_ylim(bottom=-1)
        axes.legend(fontsize=8)
    return save(picture, directory / "accuracy")


def draw_sizes(sizes: Sequence[Size], rates: Mapping[str, float], shipped: str, directory: Path) -> list[Path]:
    """R2 of A_V against speed for networks of several sizes, a line for each band set; the shipped size is marked.

    Parameters
    ----------
    sizes : sequence of Size
    rates : mapping of str to float
        Galaxies per second by directory ``NAME/VERSION``, as ``benchmarks/models.py`` writes them; the first, such as
        the paper's three-band network, is the unit.
    shipped : str
        Name of the size that is shipped.
    directory : Path
        For the pictures.

    Raises
    ------
    MissingSizeError
        If a size does not exist, or its speed was not measured.
    """
    unit, by_name = next(iter(rates.values())), {Path(path).parent.name: rate for path, rate in rates.items()}
    names = [size.name for size in sizes]
    missing = [name for name in names if name not in by_name]
    if missing:
        raise MissingSizeError(f"no speed of {', '.join(missing)}: run benchmarks/models.py on all sizes.")
    if shipped not in names:
        raise MissingSizeError(f"there is no size {shipped!r}; there are {', '.join(names)}.")
    picture = Picture(figsize=(5.6, 4.2), layout="constrained")
    axes = picture.subplots()
    speed = [by_name[name] / unit for name in names]
    for band_set in sizes[0].r2:
        r2 = [size.r2[band_set]["a_v"] for size in sizes]
        axes.errorbar(speed, [r.value for r in r2], [r.error for r in r2], fmt="o", capsize=2, label=band_set)
    for number, (size, x) in enumerate(sorted(zip(sizes, speed, strict=True), key=itemgetter(1))):
        weight = "bold" if size.name == shipped else "normal"
        axes.annotate(
            f"{size.name}\n{size.parameters / 1e3:.0f}k",
            (x, 1.0),
            (0, 3 + 20 * (number % 2)),  # neighbours at two heights
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            size=7,
            weight=weight,
        )
    axes.axvline(speed[names.index(shipped)], color=_GREY, lw=0.8, zorder=0)
    axes.set(xlabel=f"speed over that of {_label(rates)}", ylabel=f"$R^2$ of {NAMES['a_v']}")
    picture.legend(title="bands", fontsize=8, loc="outside right upper")
    return save(picture, directory / "accuracy_against_cost")


def _label(rates: Mapping[str, float]) -> str:
    return Path(next(iter(rates))).parent.name


def _coverage_curves(calibration: Calibration) -> Picture:
    curves = {NAMES[name]: curve for name, curve in calibration.curves.items()} | {"joint (TARP)": calibration.tarp}
    picture = Picture(figsize=(2.6 * len(curves), 2.9), layout="constrained")
    for axes, (name, curve) in zip(_row_of_axes(picture, len(curves)), curves.items(), strict=True):
        _draw_curve(axes, curve)
        axes.set(title=name, xlabel="credibility", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    picture.axes[0].set_ylabel("share of truths inside")
    return picture


def _draw_curve(axes: Axes, curve: Curve) -> None:
    low = [held - 2 * error for held, error in zip(curve.held, curve.error, strict=True)]
    high = [held + 2 * error for held, error in zip(curve.held, curve.error, strict=True)]
    axes.plot([0, 1], [0, 1], color=_GREY, lw=0.8)
    axes.fill_between(CREDIBILITIES, low, high, alpha=0.3)
    axes.plot(CREDIBILITIES, curve.held)


def _pit_histograms(calibration: Calibration) -> Picture:
    picture = Picture(figsize=(2.6 * len(calibration.pit), 2.5), layout="constrained")
    for axes, (name, density) in zip(_row_of_axes(picture, len(calibration.pit)), calibration.pit.items(), strict=True):
        axes.stairs(density, [place / len(density) for place in range(len(density) + 1)], fill=True, alpha=0.6)
        axes.axhline(1, color=_GREY, lw=0.8)
        axes.set(title=NAMES[name], xlabel="PIT", xlim=(0, 1), ylim=(0, max(1.5, 1.1 * max(density))))
    picture.axes[0].set_ylabel("density")
    return picture


def _coverage_in_bins(calibration: Calibration) -> Picture:
    picture = Picture(figsize=(2.8 * len(calibration.coverage), 4.8), layout="constrained")
    panels = _row_of_axes(picture, len(calibration.coverage))
    for axes, (name, by_kind) in zip(panels, calibration.coverage.items(), strict=True):
        bins = [(f"{kind} {label}", found) for kind, by_bin in by_kind.items() for label, found in by_bin.items()]
        places = range(len(bins))
        for wanted, low, high in ((0.68, 0.66, 0.70), (0.95, 0.94, 0.96)):
            held = [found.held_68 if wanted == 0.68 else found.held_95 for _, found in bins]
            axes.axvspan(low, high, color="C2", alpha=0.25)
            axes.errorbar([h.value for h in held], places, xerr=[h.error for h in held], fmt="o", ms=3, color="C0")
        axes.set(title=NAMES[name], xlabel="share of truths inside", xlim=(0.5, 1.0))
        axes.set_yticks(places, [label for label, _ in bins] if axes is panels[0] else [""] * len(bins), fontsize=8)
        axes.invert_yaxis()
    return picture


def _row_of_axes(picture: Picture, columns: int) -> list[Axes]:
    return list(picture.subplots(1, columns, squeeze=False)[0])


def save(picture: Picture, path: Path) -> list[Path]:
    """Write a picture as PNG and PDF, and name the files; `path` has no suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_suffix(f".{suffix}") for suffix in _FORMATS]
    for file in files:
        picture.savefig(file, dpi=150)
    return files
