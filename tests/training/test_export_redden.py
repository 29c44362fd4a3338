"""A run of the redden model as an exported model, with what the reports on it say."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from redden.errors import ModelCardError
from redden.modelcard import ModelCard
from tests.training.unfitted import write_unfitted
from training.assess import ACCURACY_FILE
from training.cli import app
from training.comparison import Assessment
from training.coverage_report import SHOWN
from training.domain_report import DomainReport
from training.domain_run import REPORT_FILE
from training.export import export
from training.observe import ObservationPrior
from training.simulate.settings import Scenes

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_a_model_lies_beside_its_coverage_and_the_pictures_of_it(blob_scenes: Path, tmp_path: Path) -> None:
    settings, observation = Scenes(galaxies=1000, seed=5), ObservationPrior()
    told = {"settings": settings.model_dump(mode="json"), "observation": observation.model_dump(mode="json")}
    run = write_unfitted(tmp_path / "redden", trained_on={"split_seed": 0, "sha256": "another", **told})
    assessment = Assessment(model="redden", data_set="x", sha256="", seed=0, train_scenes=9, rows=())
    (run / ACCURACY_FILE).write_text(assessment.model_dump_json())
    report = DomainReport(threshold=0.0, galaxies=0, false_alarms={}, kinds={})
    (run / REPORT_FILE).write_text(report.model_dump_json())
    with pytest.raises(ModelCardError, match="has no calibration.json: `redden-train coverage` writes it there"):
        export(run, tmp_path / "models")

    arguments = [str(run), "--data", str(blob_scenes), "--out", str(run), "--scenes", "400", "--looks", "2"]
    result = CliRunner().invoke(app, ["coverage", *arguments])
    assert result.exit_code == 0, result.output
    exported = export(run, tmp_path / "models")
    figures = ModelCard.read(exported).figures_of_merit
    assert figures["calibration"] == list(SHOWN)
    for file in SHOWN:
        assert (exported / file).read_bytes() == (run / file).read_bytes()
    assert figures["sample"]["images"] > 0
    assert figures["coverage"]["a_v"]["width_68"] > 0
