"""The models that the gateway can use: those in the models' directory whose card it understands."""

import logging
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Self

from redden.errors import ModelCardError, UnknownModelError
from redden.modelcard import ModelCard
from service.inference.config import ModelConfigError, read_entries

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Registry:
    """Model cards by name and version."""

    default: str
    """Name of the model that answers when a request names none."""
    cards: dict[str, dict[int, ModelCard]] = field(default_factory=dict)
    """Usable cards, newest version first."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a card cannot be used, by ``NAME/VERSION``."""
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    """Versions that have a label in ``models.config``, by name of the model and label."""

    @classmethod
    def read(cls, models_dir: Path, default: str) -> Self:
        """Read the cards of all ``NAME/VERSION/``, and the labels; a card that cannot be used is refused alone."""
        registry = cls(default, labels=_read_labels(models_dir / "models.config"))
        versions = [path for path in models_dir.glob("*/*/") if path.name.isdigit()]
        for path in sorted(versions, key=lambda path: (path.parent.name, -int(path.name))):
            try:
                card = ModelCard.read(path)
            except ModelCardError as error:
                registry.refused[f"{path.parent.name}/{path.name}"] = str(error)
                log.error("model %s/%s is refused: %s", path.parent.name, path.name, error)
            else:
                registry.cards.setdefault(card.name, {})[card.version] = card
        if default not in registry.cards:
            log.error("the default model %s is not in %s", default, models_dir)
        return registry

    @property
    def newest(self) -> list[ModelCard]:
        """The newest usable version of each model."""
        return [next(iter(versions.values())) for versions in self.cards.values()]

    def labels_of(self, card: ModelCard) -> list[str]:
        """Labels of a version of a model."""
        return [label for label, version in self.labels.get(card.name, {}).items() if version == card.version]

    def card(self, name: str | None = None, version: int | str | None = None) -> ModelCard:
        """The card of a model; by default the newest version, and the default model.

        Parameters
        ----------
        name : str, optional
            Name of the model.
        version : int or str, optional
            Number of the version, or its label.

        Raises
        ------
        UnknownModelError
            If there is none.
        """
        name = name or self.default
        versions = self.cards.get(name)
        if versions is None:
            raise UnknownModelError(
                f"there is no model {name!r}; there {'is' if len(self.cards) == 1 else 'are'} "
                f"{', '.join(self.cards) or 'none'}."
            )
        if version is None:
            return next(iter(versions.values()))
        number = self._labelled(name, version) if isinstance(version, str) else version
        if number not in versions:
            also = f", which {version!r} stands for" if number != version else ""
            raise UnknownModelError(
                f"model {name} has no version {number}{also}; it has {', '.join(map(str, versions))}."
            )
        return versions[number]

    def _labelled(self, name: str, label: str) -> int:
        labels = self.labels.get(name, {})
        if label not in labels:
            listed = ", ".join(f"{each} (version {number})" for each, number in labels.items())
            raise UnknownModelError(f"model {name} has no version with the label {label!r}; it has {listed or 'none'}.")
        return labels[label]


def _read_labels(config: Path) -> dict[str, dict[str, int]]:
    try:
        return {
            entry.name: dict(sorted(entry.version_labels.items(), key=itemgetter(1)))  # a map of a message has no order
            for entry in read_entries(config)
            if entry.version_labels
        }
    except FileNotFoundError:
        return {}  # models that another machine serves
    except ModelConfigError as error:
        log.error("no label of a model can be used: %s", error)
        return {}
