"""From SKIRT products to the paper's networks: import, observe, fit and evaluate, on small cubes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from typer.testing import CliRunner

from tests.training.test_import_skirt import REST, screen, write_cube
from training.cli import app
from training.dataset import DatasetCard
from training.evaluate import Evaluation
from training.fit import read_run_card
from training.networks import RECIPES

# Keras 3.15 itself calls numpy in a way that numpy 2 discourages.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

GALAXIES = 40


@pytest.fixture(autouse=True)
def short_recipe() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "paper-1band", replace(RECIPES["paper-1band"], epochs=1))
        yield


def test_a_table_of_cubes_is_fitted_and_evaluated_like_the_built_in_mocks(tmp_path: Path) -> None:
    wavelength = REST[::2] * 7.5
    write_cube(tmp_path / "free.fits", np.full(200, 500.0), wavelength)
    rows = []
    for number in range(GALAXIES):
        name = f"g{number}_{{}}.fits"
        for dtm in (0.0, 0.3):
            write_cube(tmp_path / name.format(dtm), 500.0 * screen((1 + number / 10) * dtm, REST[::2]), wavelength)
            row = {"galaxy": f"g{number}", "z": 6.5, "log_mass": 9.0, "log_ssfr": -8.2 + number / 100, "dtm": dtm}
            rows.append({**row, "dusty": name.format(dtm), "dust_free": "free.fits"})
    table, scenes, images, run = (tmp_path / name for name in ("table.ecsv", "scenes", "images", "run"))
    Table(rows=rows).write(table)
    for arguments in (
        ["import-skirt", table, scenes, "--bands", "F277W,F356W,F444W"],
        ["observe-scenes", scenes, images],
        ["fit", "paper-1band", "--data", images, "--out", run],
        ["evaluate", run, "--data", images],
    ):
        result = CliRunner().invoke(app, [str(word) for word in arguments])
        assert result.exit_code == 0, result.output
    card = read_run_card(run)
    assert card.trained_on["sha256"] == DatasetCard.read(images).sha256
    assert card.trained_on["images_without_dust_left_out"] == GALAXIES
    assert card.intended_use.startswith("Galaxies at redshift 6.5 to 6.5 ")
    assert "SKIRT import" in card.intended_use
    evaluation = Evaluation.model_validate_json((run / "evaluation.json").read_text())
    assert evaluation.galaxies == evaluation.images > 0
    assert np.isfinite(evaluation.figures["a_v"]["mae"].value)
