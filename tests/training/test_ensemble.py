"""Networks joined into one: the mean of their posteriors, in one graph that is served like any other."""

import json
from pathlib import Path
from shutil import copytree

import keras
import numpy as np
import openvino
import pytest
from typer.testing import CliRunner

from redden.errors import ModelCardError
from redden.grid import SIZE
from redden.modelcard import CARD_FILE, Domain
from redden.photometric import context_columns
from redden.posterior import exceedance
from redden.signature import CONTEXT, DOMAIN, LOGITS, MEAN, PIXELS, SCALE_TRIL
from tests.training.unfitted import write_unfitted
from training.cli import app
from training.domain import fit_usual, with_domain
from training.ensemble import ensemble
from training.export import write_saved_model
from training.levels import fit_levels, with_levels
from training.networks.redden import STRANGENESS
from training.predict import open_model
from training.rivals.mocks import ALL_BANDS

# keras asks numpy for a view in an old way when it saves what a fit has updated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
GALAXIES = {
    PIXELS: RNG.normal(size=(7, SIZE, SIZE, len(ALL_BANDS))).astype(np.float32),
    CONTEXT: RNG.normal(size=(7, context_columns(len(ALL_BANDS)))).astype(np.float32),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks with levels and a domain score of their own, which do not hold for both together."""
    written = [
        write_unfitted(
            tmp_path_factory.mktemp("runs") / f"run{seed}",
            seed=seed,
            components=seed + 2,
            usual=fit_usual(GALAXIES[CONTEXT], np.linspace(1, 2, 7) * (seed + 1), epochs=1, seed=seed),
            domain=Domain(threshold=0.5),
            trained_on={"split_seed": 0, "sha256": "one"},
        )
        for seed in range(2)
    ]
    for run in written:
        card, predict = open_model(run)
        levels = fit_levels(card, GALAXIES | predict(GALAXIES), RNG.random((7, 4)), epochs=1, seed=0)
        with_levels(keras.models.load_model(run / "network.keras"), levels).save(run / "network.keras")
        card.model_copy(update={"levels": True}).write(run)
    return written


@pytest.fixture
def runs(originals: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of them for one test."""
    return [Path(copytree(run, tmp_path / run.name)) for run in originals]


def test_the_posterior_of_an_ensemble_is_the_mean_of_its_members(runs: list[Path], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["ensemble", *map(str, runs), "--out", str(tmp_path / "both")])
    assert result.exit_code == 0, result.output
    (card, both), (_, first), (_, second) = (open_model(run) for run in (tmp_path / "both", *runs))
    answer, members = both(GALAXIES), [first(GALAXIES), second(GALAXIES)]
    assert answer[LOGITS].shape == (7, 5)
    for name in ("a_v", "e_bv", "r_v", "log_ssfr"):
        for x in (-8.2, 0.3, 1.2, 7.0):
            chances = [exceedance(card, outputs, name, x) for outputs in members]
            assert exceedance(card, answer, name, x) == pytest.approx(np.mean(chances, axis=0), abs=1e-5)

    # The usual levels of the members are taken away, since that of the whole is another one.
    strange = [
        keras.Model(network.inputs, network.get_layer(STRANGENESS).output).predict(
            [GALAXIES[tensor.name] for tensor in network.inputs], verbose=0
        )
        for network in (keras.models.load_model(run / "network.keras") for run in runs)
    ]
    assert answer[DOMAIN] == pytest.approx(np.mean(strange, axis=0), abs=1e-5)
    assert (card.levels, card.domain) == (False, None)
    assert set(answer) == {LOGITS, MEAN, SCALE_TRIL, DOMAIN}
    assert [member["seed"] for member in card.trained_with["ensemble"]] == [0, 1]


def test_an_ensemble_is_one_network_to_those_that_serve_it(runs: list[Path], tmp_path: Path) -> None:
    ensemble(runs, tmp_path / "both")
    usual = fit_usual(GALAXIES[CONTEXT], np.linspace(1, 2, 7), epochs=1, seed=0)
    network = with_domain(keras.models.load_model(tmp_path / "both" / "network.keras"), usual)
    expected = network.predict([GALAXIES[tensor.name] for tensor in network.inputs], verbose=0)
    write_saved_model(network, tmp_path)
    served = openvino.compile_model(openvino.Core().read_model(tmp_path), "CPU")
    answer = served(GALAXIES)
    for name in (LOGITS, MEAN, SCALE_TRIL, DOMAIN):
        np.testing.assert_allclose(answer[name], expected[name], atol=1e-3)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"posterior": "gaussian"}, "ensembles are for mixtures"),
        ({"trained_on": {"split_seed": 1, "sha256": "one"}}, "not fitted alike"),
        ({"trained_on": {"split_seed": 0, "sha256": "other"}}, "not fitted alike"),
        ({"bands": ALL_BANDS[::-1]}, "not fitted alike"),
    ],
)
def test_only_networks_that_were_fitted_alike_are_joined(
    runs: list[Path], tmp_path: Path, changed: dict[str, object], says: str
) -> None:
    card = json.loads((runs[1] / CARD_FILE).read_text())
    (runs[1] / CARD_FILE).write_text(json.dumps(card | changed))
    with pytest.raises(ModelCardError, match=says):
        ensemble(runs, tmp_path / "both")


def test_members_are_different_runs_and_stay_as_they_are(runs: list[Path], tmp_path: Path) -> None:
    for members, out in ((runs[:1], tmp_path / "both"), (runs[:1] * 2, tmp_path / "both"), (runs, runs[0])):
        with pytest.raises(ModelCardError, match="two different runs or more"):
            ensemble(members, out)
    (runs[1] / "network.keras").unlink()  # as an exported model, which has a card too
    with pytest.raises(ModelCardError, match="is no run"):
        ensemble(runs, tmp_path / "both")
