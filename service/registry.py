"""The models that the gateway can use: those in the models' directory whose card it understands."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from redden.errors import ModelCardError, UnknownModelError
from redden.modelcard import ModelCard

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

    @classmethod
    def read(cls, models_dir: Path, default: str) -> Self:
        """Read the cards of all ``NAME/VERSION/``; a card that cannot be used is refused alone."""
        registry = cls(default)
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

    def card(self, name: str | None = None, version: int | None = None) -> ModelCard:
        """The card of a model; by default the newest version, and the default model.

        Raises
        ------
        UnknownModelError
            If there is none.
        """
        versions = self.cards.get(name or self.default)
        if versions is None:
            raise UnknownModelError(
                f"there is no model {name or self.default!r}; there {'is' if len(self.cards) == 1 else 'are'} "
                f"{', '.join(self.cards) or 'none'}."
            )
        if version is None:
            return next(iter(versions.values()))
        if version not in versions:
            raise UnknownModelError(
                f"model {name or self.default} has no version {version}; it has {', '.join(map(str, versions))}."
            )
        return versions[version]
