from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from redden.errors import ModelCardError
from redden.modelcard import CARD_FILE, ModelCard, Target

LOGARITHMIC = (
    Target(name="a_v", transform="log"),
    Target(name="e_bv", transform="log"),
    Target(name="log_ssfr"),
)


def card(**changes: Any) -> ModelCard:
    """A valid card of a Gaussian three-band model, with changes."""
    facts: dict[str, Any] = {
        "name": "test-3band",
        "version": 3,
        "description": "A model of the tests.",
        "bands": ("F277W", "F356W", "F444W"),
        "normalisation": "joint",
        "targets": LOGARITHMIC,
        "posterior": "gaussian",
        "trained_on": {},
        "trained_with": {},
        "figures_of_merit": {},
        "intended_use": "Tests.",
    }
    return ModelCard(**(facts | changes))


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "test-3band" / "3"
    folder.mkdir(parents=True)
    written = card(
        interval_scale={"a_v": 1.1},
        figures_of_merit={"a_v": {"r2": 0.3}},
        posterior="mixture",
        levels=True,
        domain={"threshold": 4.5},
    )
    written.write(folder)
    assert ModelCard.read(folder) == written


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"bands": ("F277W", "F277W")}, "distinct"),
        ({"bands": ("F999W",)}, "distinct and among F115W"),
        ({"normalisation": "log"}, "unknown normalisation 'log'"),
        ({"size": 64}, "32x32"),
        ({"pixel_scale": 0.04}, "0.03 arcsec"),
        ({"targets": LOGARITHMIC[:2]}, "a_v, e_bv and log_ssfr"),
        ({"targets": (Target(name="a_v"), *LOGARITHMIC[1:])}, "as logarithms"),
        ({"name": "../etc"}, "pattern"),
        ({"version": 0}, "greater than or equal to 1"),
        ({"surprise": 1}, "Extra inputs"),
        ({"posterior": "mixture", "targets": (Target(name="a_v"), *LOGARITHMIC[1:])}, "a mixture posterior needs"),
        ({"domain": {"threshold": float("nan")}}, "finite"),
        ({"posterior": "point", "levels": True}, "levels are for models with a posterior"),
    ],
)
def test_a_card_that_cannot_be_served_is_refused(change: dict[str, Any], hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        card(**change)


def test_reading_says_which_card_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ModelCardError, match="is missing"):
        ModelCard.read(tmp_path / "test-3band" / "3")
    folder = tmp_path / "test-3band" / "4"
    folder.mkdir(parents=True)
    card().write(folder)
    with pytest.raises(ModelCardError, match="is the card of test-3band/3"):
        ModelCard.read(folder)
    (folder / CARD_FILE).write_text("{}")
    with pytest.raises(ModelCardError, match="cannot be used"):
        ModelCard.read(folder)


def test_only_what_compares_bands_needs_a_unit() -> None:
    assert card().needs_flux_unit
    assert not card(normalisation="each-band").needs_flux_unit
