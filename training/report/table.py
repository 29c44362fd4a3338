"""Table 2 of Fu et al. (2024) with our numbers beside the paper's, and what is needed to judge either."""

from collections.abc import Iterable, Sequence
from typing import Final

from redden.posterior import QUANTITIES, UNITS
from training.evaluate import Measured
from training.metrics import Figure

NAMES: Final = {"a_v": "A_V", "e_bv": "E(B-V)", "r_v": "R_V", "log_ssfr": "log sSFR"}

PAPER_MAE: Final[dict[str, dict[int, float]]] = {
    "a_v": {1: 0.089, 3: 0.069},
    "e_bv": {1: 0.0136, 3: 0.0131},
    "log_ssfr": {1: 0.046, 3: 0.069},
}
"""MAE of the paper's Table 2, by quantity and number of bands; what we do not have is absent."""

COLUMNS: Final = {
    "mae": "MAE",
    "mse": "MSE",
    "sigma": "sigma",
    "s2": "S2",
    "bias": "bias",
    "spread": "label spread",
    "median_mae": "MAE of the median",
    "r2": "R2",
    "skill": "skill",
}
"""Figures of `training.metrics.figures` that are shown, with their headings."""

Rows = list[list[str]]


def table2(measured: Sequence[Measured]) -> Rows:
    """The table as text, heading first: a row for each quantity and model."""
    heading = ["quantity", "unit", "model", "bands", "MAE in the paper", *COLUMNS.values()]
    evaluations = [one.evaluation() for one in measured]
    rows = [heading]
    for name in QUANTITIES:
        for one, evaluation in zip(measured, evaluations, strict=True):
            bands = len(one.card.bands)
            paper = PAPER_MAE.get(name, {}).get(bands)
            found = evaluation.figures[name]
            cells = [_cell(found.get(column)) for column in COLUMNS]
            rows.append([NAMES[name], UNITS[name], one.card.name, str(bands), _number(paper), *cells])
    return rows


def markdown(rows: Rows) -> str:
    """A table in Markdown."""
    heading, *body = rows
    lines: Iterable[Sequence[str]] = [heading, ["---"] * len(heading), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _cell(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.value:.3g} ± {figure.error:.1g}"
