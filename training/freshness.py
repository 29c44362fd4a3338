"""Whether a data set is fresh to a model: neither its fit nor its levels have seen the galaxies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redden.modelcard import ModelCard
from training.dataset import DatasetCard, DatasetError

EVERYONE: Final = "all"
"""Part of a data set, in a card, that levels were fitted to: all galaxies, or those of ``validation``."""


def check_fresh(data: Path, used: Mapping[str, Any], use: str) -> None:
    """Check that a data set is not one that was used for something, and has none of its galaxies.

    Parameters
    ----------
    data : Path
        Data set of scenes.
    used : mapping
        Facts about the other one, as in ``ModelCard.trained_on``: ``sha256``, and ``settings`` with the ``seed``.
    use : str
        What for, as in "redden was fitted to".

    Raises
    ------
    DatasetError
        If it is, or has the same seed.
    """
    of_data = DatasetCard.read(data)
    seed = of_data.settings.get("seed")
    another = "make one with another seed: `redden-train scenes --seed`."
    if of_data.sha256 == used.get("sha256"):
        raise DatasetError(f"{data} is the data set that {use}; {another}")
    if seed is not None and seed == used.get("settings", {}).get("seed"):
        raise DatasetError(f"{data} has the seed of the data set that {use} ({seed}), so its galaxies; {another}")


def check_not_calibrated_on(card: ModelCard, data: Path) -> None:
    """Check that the levels of a model do not come from all galaxies of a data set, its test galaxies included.

    Raises
    ------
    DatasetError
        If they do, or from galaxies of the same seed.
    """
    levels = card.trained_with.get("levels", {})
    if levels.get("part") == EVERYONE:
        check_fresh(data, levels, f"the levels of {card.name} were fitted to")
