"""What a survey file says: one TOML file per survey, with the mosaics of each band."""

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from redden.bands import known_band
from redden.errors import BandError, SurveyError

PROTOCOLS: Final = ("http", "https", "s3")
"""Where mosaics may be read from, besides files."""

DEMO_DIR: Final = Path(str(files("service"))) / "demo" / "survey"
"""The survey that is always registered."""

SHIPPED_DIR: Final = Path(str(files("service"))) / "surveys" / "definitions"
"""Surveys that ``redden survey add`` knows by name."""

_PROTOCOL: Final = re.compile(r"([a-z0-9+:]+)://")
_LOCATION_LINE: Final = re.compile(r"^location\s*=.*$", re.MULTILINE)
_FIRST_TABLE: Final = re.compile(r"^\[", re.MULTILINE)


def _known_protocol(path: str) -> str:
    match = _PROTOCOL.match(path)
    if match and match[1] not in PROTOCOLS:
        raise ValueError(f"{path} is neither a path nor a URL of {', '.join(PROTOCOLS)}")
    return path


_Path = Annotated[str, AfterValidator(_known_protocol)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Companion(_Strict):
    """An error or weight map: where it is not a positive number, the mosaic has no data."""

    path: Annotated[_Path | None, Field(description="File; by default that of the mosaic.")] = None
    hdu: Annotated[int | str | None, Field(description="Name or number of the extension.")] = None


class Tile(_Strict):
    """A mosaic; in a survey file a text stands for one that is only a path."""

    path: Annotated[_Path, Field(min_length=1, description="Path or URL, relative to the survey's `location`.")]
    hdu: Annotated[
        int | str | None, Field(description="Name or number of the extension; by default the first image.")
    ] = None
    error: Annotated[Companion | None, Field(description="Error map.")] = None
    weight: Annotated[Companion | None, Field(description="Weight or exposure map.")] = None


def _tile(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class BandMosaics(_Strict):
    """The mosaics of one band."""

    mosaics: Annotated[
        tuple[Annotated[Tile, BeforeValidator(_tile)], ...], Field(min_length=1, description="One or more tiles.")
    ]
    unit: Annotated[
        str | None,
        Field(description="Unit of the pixels, in place of `BUNIT`; `AB=28.9` for an AB zero point of 28.9."),
    ] = None
    psf_fwhm: Annotated[float | None, Field(gt=0, description="Full width at half maximum of the PSF, arcsec.")] = None


class Definition(_Strict):
    """A survey as its file describes it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Short name, as requests give it.")]
    title: Annotated[str, Field(description="Full name.")]
    description: Annotated[str, Field(description="What it shows, in a sentence or two.")] = ""
    reference: Annotated[str | None, Field(description="Web page or DOI of the release.")] = None
    citation: Annotated[str | None, Field(description="Article to cite.")] = None
    checked: Annotated[
        bool, Field(description="Whether the author of the file has opened the mosaics at these addresses.")
    ] = True
    location: Annotated[
        _Path, Field(description="Directory or URL that paths are relative to; by default that of the survey file.")
    ] = ""
    storage: Annotated[
        dict[str, Any], Field(description="Options of fsspec's file system, such as `anon = true` for public S3.")
    ] = {}
    frame: Annotated[
        Literal["icrs", "fk5"], Field(description="Frame of the coordinates of mosaics whose WCS does not tell.")
    ] = "icrs"
    catalogue: Annotated[_Path | None, Field(description="Table of the sources, relative to `location`.")] = None
    bands: Annotated[dict[str, BandMosaics], Field(min_length=1, description="Mosaics by band.")]

    @field_validator("bands")
    @classmethod
    def _known_bands(cls, bands: dict[str, BandMosaics]) -> dict[str, BandMosaics]:
        try:
            return {known_band(name).name: mosaics for name, mosaics in bands.items()}
        except BandError as error:
            raise ValueError(str(error)) from None

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """The survey that a text in TOML defines; `source` says in messages where it stands.

        Raises
        ------
        SurveyError
            If it is not TOML, or not a survey.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SurveyError(f"{source} is not TOML: {error}.") from error
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
            raise SurveyError(f"{source} does not define a survey: {wrong}. docs/surveys.md has an example.") from error

    @classmethod
    def read(cls, file: Path) -> Self:
        """The survey that a file defines, with all paths absolute.

        Raises
        ------
        SurveyError
            If the file cannot be read, or does not define a survey.
        """
        return cls.parse(read_text(file), str(file)).resolved(file.parent)

    def resolved(self, directory: Path) -> Self:
        """The same with absolute paths, where `directory` is that of the survey file."""
        base = _joined(str(directory.resolve()), self.location)
        bands = {
            name: mosaics.model_copy(update={"mosaics": tuple(_resolved(tile, base) for tile in mosaics.mosaics)})
            for name, mosaics in self.bands.items()
        }
        catalogue = self.catalogue and _joined(base, self.catalogue)
        return self.model_copy(update={"location": base, "bands": bands, "catalogue": catalogue})


def with_location(text: str, location: str) -> str:
    """The text of a survey file with another `location`."""
    line = f"location = {json.dumps(location)}"
    if _LOCATION_LINE.search(text):
        return _LOCATION_LINE.sub(lambda _: line, text, count=1)
    return _FIRST_TABLE.sub(lambda _: f"{line}\n\n[", text, count=1)


def read_text(file: Path) -> str:
    """The text of a survey file. Raises `SurveyError` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SurveyError(f"the survey file {file} cannot be read: {error}.") from error


def is_remote(path: str) -> bool:
    """Whether a path is a URL."""
    return "://" in path


def _joined(base: str, path: str) -> str:
    """A path below `base`, unless it is absolute; a local file that is listed as gzipped may be there unzipped."""
    if not is_remote(path) and not Path(path).is_absolute():
        path = f"{base.rstrip('/')}/{path}" if path else base
    unzipped = path.removesuffix(".gz")
    return unzipped if unzipped != path and not is_remote(path) and Path(unzipped).is_file() else path


def _resolved(tile: Tile, base: str) -> Tile:
    path = _joined(base, tile.path)
    maps = {
        role: companion.model_copy(update={"path": _joined(base, companion.path) if companion.path else path})
        for role, companion in (("error", tile.error), ("weight", tile.weight))
        if companion
    }
    return tile.model_copy(update={"path": path, **maps})
