"""Files of catalogues as they were uploaded, which are kept for a while so that several jobs can be made of one."""

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redden.jobs import StoredCatalogue
from service.errors import UnknownCatalogueError
from service.jobs.store import Store, new_id, storing
from service.jobs.sweep import CATALOGUES

_ABOUT: Final = "about.json"
_UPLOAD: Final = "upload"


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    """A catalogue as it was uploaded."""

    path: Path
    name: str | None
    content_type: str | None

    def sha256(self) -> str:
        """SHA-256 of its content, in hexadecimal digits."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class KeptCatalogues:
    """Where they are kept.

    Attributes
    ----------
    store : Store
        The place.
    lifetime : float
        Seconds after which one is deleted.
    """

    store: Store
    lifetime: float

    def keep(self, file: CatalogueFile) -> StoredCatalogue:
        """Store an uploaded file, for jobs to name.

        Raises
        ------
        StorageError
            If there is no room.
        """
        identifier = new_id()
        expires = datetime.now(UTC).timestamp() + self.lifetime
        stored = StoredCatalogue(
            id=identifier,
            name=file.name,
            content_type=file.content_type,
            bytes=file.path.stat().st_size,
            sha256=file.sha256(),
            expires=datetime.fromtimestamp(expires, UTC),
        )
        with storing("the catalogue"), self.store.new(f"{CATALOGUES}/{identifier}") as folder:
            (folder / _ABOUT).write_text(stored.model_dump_json(), encoding="utf-8")
            shutil.copyfile(file.path, folder / _UPLOAD)
        return stored

    def about(self, identifier: str) -> StoredCatalogue:
        """An uploaded catalogue.

        Raises
        ------
        UnknownCatalogueError
            If there is none.
        """
        if identifier.isalnum():  # no path
            try:
                with self.store.open(f"{CATALOGUES}/{identifier}", _ABOUT) as file:
                    return StoredCatalogue.model_validate_json(file.read())
            except FileNotFoundError:
                pass
        raise UnknownCatalogueError(
            f"there is no catalogue {identifier!r}; it may have expired. POST /v1/catalogues takes it again."
        )

    def file(self, identifier: str) -> CatalogueFile:
        """The file of an uploaded catalogue, here. Raises UnknownCatalogueError if there is none."""
        about = self.about(identifier)
        path = self.store.copy(f"{CATALOGUES}/{identifier}") / _UPLOAD
        return CatalogueFile(path, about.name, about.content_type)

    def forget(self, identifier: str) -> None:
        """Delete an uploaded catalogue. Raises UnknownCatalogueError if there is none."""
        self.about(identifier)
        self.store.remove(f"{CATALOGUES}/{identifier}")
