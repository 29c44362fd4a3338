"""The report of an evaluation: Table 2 with the paper's numbers, figures, and a page that needs nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from redden.modelcard import ModelCard
from redden.posterior import QUANTITIES
from training.cli import app
from training.evaluate import Evaluation, Measured
from training.report.figures import training
from training.report.table import COLUMNS, markdown, table2
from training.report.write import write_report
from training.rivals.mocks import points
from training.samples import load

MODELS = Path(__file__).parents[2] / "models"


def measured(blobs: Path, name: str, *, error: float) -> Measured:
    """A model that errs by a constant, on all blobs."""
    card = ModelCard.read(MODELS / name / "1")
    data_card, samples = load(blobs, card.bands, "each-band")
    answer = {quantity: points(samples.truth[quantity] + error) for quantity in QUANTITIES}
    return Measured(card, data_card, samples, answer)


@pytest.fixture(scope="module")
def two(blobs: Path) -> list[Measured]:
    return [measured(blobs, "paper-1band", error=0.3), measured(blobs, "paper-3band", error=-0.1)]


def test_table_2_puts_our_errors_beside_those_of_the_paper(two: list[Measured]) -> None:
    heading, *rows = table2(two)
    assert [row[0] for row in rows] == ["A_V", "A_V", "E(B-V)", "E(B-V)", "R_V", "R_V", "log sSFR", "log sSFR"]
    by_name = [dict(zip(heading, row, strict=True)) for row in rows]
    assert [row["MAE in the paper"] for row in by_name] == [
        "0.089",
        "0.069",
        "0.0136",
        "0.0131",
        "",
        "",
        "0.046",
        "0.069",
    ]
    assert [row["bias"].split()[0] for row in by_name] == ["0.3", "-0.1"] * 4
    assert [row["MAE"].split()[0] for row in by_name] == ["0.3", "0.1"] * 4
    assert all(row[column] for row in by_name for column in COLUMNS.values())
    assert markdown([heading, *rows]).count("\n") == 10


def test_report_is_one_page_with_pictures_and_their_pdfs(two: list[Measured], tmp_path: Path) -> None:
    runs = [tmp_path / "run", tmp_path / "model"]
    runs[0].mkdir()
    curves = {"a_v": {"loss": [3.0, 2.0], "val_loss": [3.1, 2.5]}}
    (runs[0] / "history.json").write_text(json.dumps(curves))
    page = write_report(two, runs, tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    drawn = [f"figure{number}" for number in (1, 2, 3, 5, 6, 7, 8)]
    names = {"index.html", "table2.md", *(f"{name}.{kind}" for name in drawn for kind in ("png", "pdf"))}
    assert {file.name for file in page.parent.iterdir()} == names
    assert text.count("data:image/png;base64,") == len(drawn)
    assert 'src="figure' not in text
    assert "A_V: estimates against the truth" in text
    assert two[0].data_card.sha256[:12] in text


def test_without_a_history_there_are_no_curves(tmp_path: Path) -> None:
    assert training([tmp_path]) is None


def test_one_value_for_all_is_drawn_without_contours(two: list[Measured], tmp_path: Path) -> None:
    one = two[0]
    answer = one.answer | {"a_v": points(np.full(len(one.test), 0.5))}
    flat = Measured(one.card, one.data_card, one.test, answer)
    assert write_report([flat], [tmp_path], tmp_path / "flat").exists()


def test_the_command_writes_a_report_of_models(blobs: Path, tmp_path: Path) -> None:
    models = [str(MODELS / name / "1") for name in ("paper-1band", "paper-3band")]
    arguments = ["evaluate", *models, "--data", str(blobs)]
    refused = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "both.json")])
    assert refused.exit_code == 2
    assert "one JSON is of one model" in " ".join(refused.output.replace("│", " ").split())
    result = CliRunner().invoke(app, [*arguments, "--report", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    assert result.output.strip().endswith("index.html")
    result = CliRunner().invoke(app, ["evaluate", models[0], "--data", str(blobs), "--out", str(tmp_path / "one.json")])
    assert result.exit_code == 0, result.output
    evaluation = Evaluation.model_validate_json((tmp_path / "one.json").read_text())
    assert evaluation.model == "paper-1band"
    table = (tmp_path / "report/table2.md").read_text(encoding="utf-8")
    assert f"| {evaluation.figures['a_v']['mae'].value:.3g} ± " in table
