"""FITS files, local or remote, of which rectangles are read and never the whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from redden.errors import MosaicError, ReddenError
from service.surveys.definition import is_remote
from service.surveys.remote import BlockCache, Remote, missing, short_name

_GZIP: Final = b"\x1f\x8b"
_SCALING: Final = ("BSCALE", "BZERO", "BLANK")


@dataclass(frozen=True, slots=True)
class FitsFile:
    """An open FITS file; not to be used by two threads at once."""

    path: str
    hdus: fits.HDUList
    remote: Remote | None
    """None for a local file."""

    @classmethod
    def open(cls, path: str, storage: dict[str, Any], cache: BlockCache) -> Self:
        """Open a file and read its first header.

        Raises
        ------
        MosaicError
            If it cannot be had, is gzipped, or is not FITS.
        """
        if path.endswith(".gz") and (is_remote(path) or Path(path).exists()):
            raise _gzipped(path)
        try:
            if is_remote(path):
                remote = Remote(path, storage, cache)
                start = remote.read(len(_GZIP))
                remote.seek(0)
            else:
                remote = None
                with Path(path).open("rb") as file:
                    start = file.read(len(_GZIP))
            if start == _GZIP:
                raise _gzipped(path)
            return cls(path, fits.open(remote or path, memmap=False), remote)
        except ReddenError:
            raise
        except FileNotFoundError:
            raise missing(path) from None
        except Exception as error:  # on broken bytes astropy raises nearly any exception there is
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise MosaicError(f"{short_name(path)} is not FITS that can be read: {reason}.") from error

    @property
    def name(self) -> str:
        """What to call it in a message, which others may read than those who may know where it is."""
        return short_name(self.path)

    def close(self) -> None:
        """Close it."""
        self.hdus.close()

    def layer(self, hdu: int | str | None) -> "Layer":
        """The image extension of this name or number, or the first image.

        Raises
        ------
        MosaicError
            If there is none.
        """
        try:
            image = self.hdus[hdu] if hdu is not None else next(each for each in self.hdus if _is_image(each))
            if _is_image(image):
                return Layer(self, image)
        except (KeyError, IndexError, StopIteration):
            pass
        listed = ", ".join(f"{index} {each.name}".strip() for index, each in enumerate(self.hdus))
        named = "" if hdu is None else f" {hdu!r}"
        raise MosaicError(f"{self.name} has no image{named}; its extensions are {listed}.")


@dataclass(frozen=True, slots=True)
class Layer:
    """An image of an open file."""

    file: FitsFile
    hdu: Any

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return f"{self.file.name}[{self.hdu.name}]"

    def prefetch(self, rows: slice, columns: slice) -> None:
        """Bring what a rectangle of a remote, uncompressed image needs into the cache; any thread may do it."""
        if self.file.remote is None or isinstance(self.hdu, fits.CompImageHDU):
            return
        size = abs(self.hdu.header["BITPIX"]) // 8
        starts = [self._start + row * self.hdu.shape[1] * size for row in range(rows.start, rows.stop)]
        self.file.remote.prefetch([(row + columns.start * size, row + columns.stop * size) for row in starts])

    def read(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """A rectangle of it.

        Raises
        ------
        MosaicError
            If the file is truncated or broken, or cannot be reached.
        """
        return np.array(self.view(rows, columns), dtype=np.float64)

    @property
    def mapped(self) -> bool:
        """Whether its pixels stand in a local file as they are, so that a view of them costs nothing."""
        scaled = isinstance(self.hdu, fits.CompImageHDU) or any(key in self.hdu.header for key in _SCALING)
        return self.file.remote is None and not scaled

    def view(self, rows: slice, columns: slice) -> NDArray[Any]:
        """A rectangle of it in the numbers of the file, which are read when they are looked at if it is `mapped`.

        Raises
        ------
        MosaicError
            As `read`.
        """
        try:
            return self._pixels(rows, columns)
        except ReddenError:
            raise
        except Exception as error:  # as above
            raise MosaicError(f"{self.file.name} is broken FITS: {error}. Make or download it again.") from error

    @property
    def _start(self) -> int:
        """Where in the file the pixels begin."""
        return int(self.hdu.fileinfo()["datLoc"])

    def _pixels(self, rows: slice, columns: slice) -> NDArray[Any]:
        if self.mapped:
            dtype = np.dtype(fits.BITPIX2DTYPE[self.hdu.header["BITPIX"]]).newbyteorder(">")
            # Ten times as fast as a section, which reads row by row.
            return np.asarray(np.memmap(self.file.path, dtype, "r", self._start, self.hdu.shape)[rows, columns])
        return np.asarray(self.hdu.section[rows, columns])


def _is_image(hdu: Any) -> bool:
    return bool(hdu.is_image and hdu.shape)


def _gzipped(path: str) -> MosaicError:
    return MosaicError(
        f"{short_name(path)} is gzipped, and cannot be read in parts. Unzip it with `redden survey convert`, "
        "which downloads it first if need be."
    )
