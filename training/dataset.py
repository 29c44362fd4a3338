"""A data set on disk: shards of images with their labels, and a card that says what they are.

A directory holds ``shard-00000.npz``, ``shard-00001.npz``, ... and ``card.json``, which is written last: a directory
without a card is not finished. Rows of one galaxy stay together and in order, so equal settings give equal content.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from redden.errors import ReddenError

CARD_FILE: Final = "card.json"

COLUMNS: Final[dict[str, type[np.generic]]] = {
    "images": np.float32,
    "galaxy": np.int64,
    "orientation": np.int8,
    "dtm": np.float32,
    "z": np.float32,
    "log_mass": np.float32,
    "a_v": np.float32,
    "e_bv": np.float32,
    "r_v": np.float32,
    "log_ssfr": np.float32,
    "snr": np.float32,
}
"""Arrays of a shard, first axis rows.

``images`` (n, 32, 32, bands) in nJy per pixel with noise and PSF; ``galaxy`` unique in the data set; ``dtm``
dust-to-metal ratio; ``log_mass`` log10 of Msun; ``a_v`` and ``e_bv`` in mag; ``r_v`` NaN where there is no dust;
``log_ssfr`` log10 of 1/yr over 100 Myr; ``snr`` (n, bands), see ``redden.snr.aperture_snr``.
"""

LABELS: Final = ("a_v", "e_bv", "r_v", "log_ssfr")
PERCENTILES: Final = (5, 16, 50, 84, 95)

Part = Literal["train", "validation", "test"]
FRACTIONS: Final[dict[Part, float]] = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Share of the galaxies in each part of the split."""

Split = Literal["galaxies", "galaxies-85-15", "images-leak"]
"""How images are shared out: whole galaxies by `FRACTIONS`; whole galaxies as the paper's 85 % and 15 %; or image by
image, 85 % and 15 %, which leaks: other images of the same galaxies are on both sides."""

_FRACTIONS_85_15: Final[dict[Part, float]] = {"train": 0.7225, "validation": 0.1275, "test": 0.15}
"""15 % of the 85 % validate."""

Rows = Mapping[str, NDArray[Any]]
Batch = tuple[int, int, Rows]
"""Number of galaxies simulated, number of images rejected, and the rows that were kept."""


class DatasetError(ReddenError):
    """A data set is missing, unfinished, or not what its card says."""


class Shard(BaseModel):
    """One file of a data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    rows: int
    sha256: str
    """Hash of the arrays' bytes in the order of `COLUMNS` (of the content, not of the zip container)."""


class DatasetCard(BaseModel):
    """Facts about a data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Name of the data set, that of its directory when it was written."""
    source: str
    """Where the images come from, such as ``redden forward model``."""
    bands: tuple[str, ...]
    """Bands in the order of the images' last axis."""
    settings: dict[str, Any]
    """Everything the source needs to make the same rows again, its seed included."""
    software: str
    """Software and version that wrote the data set."""
    galaxies: Annotated[int, Field(ge=0)]
    """Galaxies that were simulated."""
    galaxies_kept: Annotated[int, Field(ge=0)]
    """Galaxies with an image in the data set."""
    images: Annotated[int, Field(ge=0)]
    """Images in the data set."""
    images_rejected: Annotated[int, Field(ge=0)]
    """Images that were simulated but are too faint to be kept."""
    label_percentiles: dict[str, tuple[float, ...]]
    """The 5, 16, 50, 84 and 95 percentiles of each label, undefined ones left out."""
    sha256: str
    """Hash of the content: of all shards' hashes in order."""
    shards: tuple[Shard, ...]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the card of a data set.

        Raises
        ------
        DatasetError
            If the directory has none, or it is malformed.
        """
        try:
            return cls.model_validate_json((directory / CARD_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DatasetError(
                f"{directory} is no finished data set: it has no {CARD_FILE}. `redden-train simulate` makes one, "
                "for redden `redden-train scenes`."
            ) from None
        except ValidationError as error:
            raise DatasetError(f"{directory / CARD_FILE} cannot be used: {error}") from error


def split(galaxy: ArrayLike, seed: int, fractions: Mapping[Part, float] = FRACTIONS) -> NDArray[np.str_]:
    """Part of the split that each galaxy belongs to: ``train``, ``validation`` or ``test``.

    A pure function of seed and galaxy, so all images of a galaxy share a part, in every data set that has it.

    Parameters
    ----------
    galaxy : array_like of int, shape (n,)
        Galaxy numbers, not negative.
    seed : int
        Seed of the split.
    fractions : mapping of str to float
        Share of the galaxies in each part.

    Returns
    -------
    ndarray of str, shape (n,)
    """
    galaxy = np.asarray(galaxy, dtype=np.int64)
    # The i-th number of a seeded stream belongs to galaxy i, however many are asked for.
    position = np.random.default_rng(seed).random(galaxy.max(initial=-1) + 1)[galaxy]
    edges = np.cumsum(list(fractions.values()))[:-1]
    parts = np.array(list(fractions), dtype=np.str_)
    return np.asarray(parts[np.searchsorted(edges, position, side="right")])


def split_images(galaxy: NDArray[np.int64], seed: int, how: Split) -> NDArray[np.str_]:
    """Part of the split that each image belongs to.

    Parameters
    ----------
    galaxy : ndarray of int64, shape (images,)
        Galaxy that each image shows.
    seed : int
        Seed of the split.
    how : Split
        Only with ``images-leak`` does it depend on the order and number of the images.

    Returns
    -------
    ndarray of str, shape (images,)
    """
    if how == "galaxies":
        return split(galaxy, seed)
    return split(np.arange(len(galaxy)) if how == "images-leak" else galaxy, seed, _FRACTIONS_85_15)


def check_part(galaxy: NDArray[np.int64], chosen: NDArray[np.bool_], part: Part) -> None:
    """Refuse a split that leaves a part empty, as few galaxies can.

    Raises
    ------
    DatasetError
        If no image is chosen.
    """
    if not chosen.any():
        number = len(np.unique(galaxy))
        galaxies = "1 galaxy is" if number == 1 else f"{number} galaxies are"
        raise DatasetError(
            f"the data set has no {part} galaxies: {galaxies} too few to be split. Make one of more galaxies."
        )


def write(
    directory: Path,
    batches: Iterable[Batch],
    *,
    source: str,
    bands: tuple[str, ...],
    settings: dict[str, Any],
    software: str,
    rows_per_shard: int = 2048,
) -> DatasetCard:
    """Write a data set, shard by shard as the rows come, and its card last.

    Parameters
    ----------
    directory : Path
        New or empty directory.
    batches : iterable of Batch
        Rows as they come.
    source, bands, settings, software
        For the card.
    rows_per_shard : int
        Rows in a shard; the last has fewer.

    Returns
    -------
    DatasetCard

    Raises
    ------
    DatasetError
        If the directory holds something already.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise DatasetError(f"{directory} is not empty: name a new directory.")
    galaxies = rejected = 0
    shards: list[Shard] = []
    kept: list[dict[str, NDArray[Any]]] = []
    pending: list[Rows] = []

    def flush(*, final: bool) -> None:
        """Write as many full shards as are pending, and at the end the rest."""
        rows = _concatenate(pending, len(bands))
        step, start = rows_per_shard, 0
        while len(rows["galaxy"]) - start >= (1 if final else step):
            shard = {name: column[start : start + step] for name, column in rows.items()}
            file = f"shard-{len(shards):05d}.npz"
            np.savez(directory / file, allow_pickle=False, **shard)
            shards.append(Shard(file=file, rows=len(shard["galaxy"]), sha256=_hash(shard.values())))
            kept.append({name: shard[name] for name in ("galaxy", *LABELS)})
            start += step
        pending[:] = [{name: column[start:] for name, column in rows.items()}]

    for batch_galaxies, batch_rejected, rows in batches:
        galaxies += batch_galaxies
        rejected += batch_rejected
        if not len(rows["galaxy"]):
            continue
        pending.append(rows)
        if sum(len(part["galaxy"]) for part in pending) >= rows_per_shard:
            flush(final=False)
    flush(final=True)

    labels = {name: np.concatenate([part[name] for part in kept] or [np.empty(0)]) for name in ("galaxy", *LABELS)}
    card = DatasetCard(
        name=directory.name,
        source=source,
        bands=bands,
        settings=settings,
        software=software,
        galaxies=galaxies,
        galaxies_kept=len(np.unique(labels["galaxy"])),
        images=sum(shard.rows for shard in shards),
        images_rejected=rejected,
        label_percentiles={name: _percentiles(labels[name]) for name in LABELS},
        sha256=hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest(),
        shards=tuple(shards),
    )
    (directory / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def read_shards(directory: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """The shards of a data set in order, each as arrays named in `COLUMNS`.

    Raises
    ------
    DatasetError
        If there is no card, or a shard is missing or has other content than the card says.
    """
    for shard in DatasetCard.read(directory).shards:
        try:
            with (directory / shard.file).open("rb") as stream, np.load(stream) as file:
                rows = {name: file[name] for name in COLUMNS}
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise DatasetError(f"{directory / shard.file} cannot be read: {error}. Make the data set again.") from error
        if _hash(rows.values()) != shard.sha256:
            raise DatasetError(f"{directory / shard.file} is not what the card says. Make the data set again.")
        yield rows


def read(directory: Path) -> tuple[DatasetCard, dict[str, NDArray[Any]]]:
    """The card of a data set and all its rows.

    Returns
    -------
    card : DatasetCard
    rows : dict of str to ndarray
        Arrays named in `COLUMNS`.

    Raises
    ------
    DatasetError
        As `read_shards`.
    """
    card = DatasetCard.read(directory)
    return card, _concatenate(list(read_shards(directory)), len(card.bands))


def _concatenate(parts: list[Rows], bands: int) -> dict[str, NDArray[Any]]:
    empty: dict[str, NDArray[Any]] = {name: np.empty(0, dtype) for name, dtype in COLUMNS.items()}
    empty["images"] = np.empty((0, 32, 32, bands), np.float32)
    empty["snr"] = np.empty((0, bands), np.float32)
    return {
        name: np.concatenate([empty[name], *(np.asarray(part[name], dtype=dtype) for part in parts)])
        for name, dtype in COLUMNS.items()
    }


def _hash(arrays: Iterable[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _percentiles(values: NDArray[Any]) -> tuple[float, ...]:
    defined = values[np.isfinite(values)]
    return tuple(round(float(value), 4) for value in np.percentile(defined, PERCENTILES)) if defined.size else ()
