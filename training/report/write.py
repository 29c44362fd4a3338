"""Write the report of an evaluation."""

from collections.abc import Sequence
from pathlib import Path

from training.evaluate import Measured
from training.report.figures import draw_report
from training.report.page import write_page
from training.report.table import markdown, table2


def write_report(measured: Sequence[Measured], runs: Sequence[Path], directory: Path) -> Path:
    """Write ``index.html``, ``table2.md`` and the figures as PNG and PDF into a directory.

    Parameters
    ----------
    measured : sequence of Measured
        Models on the test galaxies of one data set.
    runs : sequence of Path
        Where each came from.
    directory : Path
        It is made if it is not there.

    Returns
    -------
    Path
        The page.
    """
    directory.mkdir(parents=True, exist_ok=True)
    rows = table2(measured)
    (directory / "table2.md").write_text(markdown(rows), encoding="utf-8")
    captions = draw_report(measured, runs, directory)
    page = directory / "index.html"
    data = measured[0].data_card
    counts = "; ".join(f"{one.card.name}: {len(one.test)} images of {one.test.galaxies} galaxies" for one in measured)
    paragraphs = [
        f"Test galaxies of the data set {data.name} ({data.sha256[:12]}), which no model was fitted to. {counts}.",
        "Errors after ± come from resampling the galaxies. Label spread is the standard deviation of the true values, "
        "the MAE of the median that of always answering the median of the training galaxies, and skill is 1 - MAE over "
        "it: 0 for a model that has learned nothing. Cells are empty where the paper's number is not known.",
    ]
    write_page(page, "Table 2 and figures of Fu et al. (2024), with redden", paragraphs, {"Table 2": rows}, captions)
    return page
