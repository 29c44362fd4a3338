"""Which model cards are used, which are refused, and what is said when a model is not there."""

import shutil

import pytest

from redden.errors import UnknownModelError
from redden.modelcard import ModelCard
from service.registry import Registry


@pytest.fixture
def directory(models_dir, tmp_path):
    """The cards of the models, with a second version of one."""
    for path in models_dir.glob("*/1/model_card.json"):
        target = tmp_path / path.relative_to(models_dir)
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
    card = ModelCard.read(tmp_path / "paper-1band" / "1")
    newer = tmp_path / "paper-1band" / "12"
    newer.mkdir()
    card.model_copy(update={"version": 12}).write(newer)
    return tmp_path


def test_the_newest_version_answers_unless_one_is_named(directory):
    registry = Registry.read(directory, "gaussian-3band")
    assert registry.card("paper-1band").version == 12
    assert registry.card("paper-1band", 1).version == 1
    assert registry.card().name == "gaussian-3band"
    assert [card.name for card in registry.newest] == ["any-band", "gaussian-3band", "paper-1band", "paper-3band"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_text("{", encoding="utf-8"), "cannot be used"),
        (lambda path: path.write_text(path.read_text().replace('"each-band"', '"zscale"')), "zscale"),
        (lambda path: path.write_text(path.read_text().replace('"version": 12', '"version": 13')), "card of"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_alone_and_logged(directory, caplog, spoil, reason):
    spoil(directory / "paper-1band" / "12" / "model_card.json")
    registry = Registry.read(directory, "gaussian-3band")
    assert list(registry.refused) == ["paper-1band/12"]
    assert reason in registry.refused["paper-1band/12"]
    assert "model paper-1band/12 is refused" in caplog.text
    assert registry.card("paper-1band").version == 1
    assert len(registry.cards) == 4


def test_a_label_stands_for_a_version(directory):
    entry = 'config { name: "paper-1band" version_labels { key: "stable" value: 1 } }'
    (directory / "models.config").write_text(f"model_config_list {{ {entry} }}", encoding="utf-8")
    registry = Registry.read(directory, "gaussian-3band")
    stable = registry.card("paper-1band", "stable")
    assert (stable.version, registry.labels_of(stable)) == (1, ["stable"])
    assert registry.labels_of(registry.card("paper-1band")) == []
    with pytest.raises(UnknownModelError, match=r"the label 'canary'; it has stable \(version 1\)"):
        registry.card("paper-1band", "canary")
    with pytest.raises(UnknownModelError, match="it has none"):
        registry.card("paper-3band", "stable")


def test_a_configuration_that_cannot_be_read_costs_the_labels_alone(directory, caplog):
    (directory / "models.config").write_text("model_config_list [", encoding="utf-8")
    assert Registry.read(directory, "gaussian-3band").card("paper-1band").version == 12
    assert "no label of a model can be used" in caplog.text


def test_a_model_that_is_not_there_is_told_what_is(directory, tmp_path):
    registry = Registry.read(directory, "gaussian-3band")
    with pytest.raises(UnknownModelError, match="there are any-band, gaussian-3band, paper-1band, paper-3band"):
        registry.card("nosuch")
    with pytest.raises(UnknownModelError, match="no version 2; it has 12, 1"):
        registry.card("paper-1band", 2)
    with pytest.raises(UnknownModelError, match="there are none"):
        Registry.read(tmp_path / "nowhere", "gaussian-3band").card()
