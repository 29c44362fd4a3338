"""FITS files, local or remote, of which rectangles are read and never the whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from redden.errors import MosaicError, ReddenError
from service.surveys.definition import is_remote
from service.surveys.remote import BlockCache, Remote

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
        if path.endswith(".gz"):
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
            raise MosaicError(f"there is no {path}. Correct the survey file, or give another location.") from None
        except Exception as error:  # on broken bytes astropy raises nearly any exception there is
            raise MosaicError(f"{path} is not FITS that can be read: {error}.") from error

    def close(self) -> None:
        """Close it."""
        self.hdus.close()

    def image(self, hdu: int | str | None) -> Any:
        """The image extension of this name or number, or the first image.

        Raises
        ------
        MosaicError
            If there is none.
        """
        try:
            image = self.hdus[hdu] if hdu is not None else next(each for each in self.hdus if _is_image(each))
            if _is_image(image):
                return image
        except (KeyError, IndexError, StopIteration):
            pass
        listed = ", ".join(f"{index} {each.name}".strip() for index, each in enumerate(self.hdus))
        named = "" if hdu is None else f" {hdu!r}"
        raise MosaicError(f"{self.path} has no image{named}; its extensions are {listed}.")

    def read(self, image: Any, rows: slice, columns: slice) -> NDArray[np.float64]:
        """A rectangle of one of the file's images.

        Raises
        ------
        MosaicError
            If the file is truncated or broken, or cannot be reached.
        """
        try:
            return np.array(self._pixels(image, rows, columns), dtype=np.float64)
        except ReddenError:
            raise
        except Exception as error:  # as above
            raise MosaicError(f"{self.path} is broken FITS: {error}. Make or download it again.") from error

    def _pixels(self, image: Any, rows: slice, columns: slice) -> NDArray[Any]:
        if isinstance(image, fits.CompImageHDU):
            return np.asarray(image.section[rows, columns])
        start, size = image.fileinfo()["datLoc"], abs(image.header["BITPIX"]) // 8
        if self.remote:
            width = image.shape[1]
            row_starts = [start + row * width * size for row in range(rows.start, rows.stop)]
            self.remote.prefetch([(row + columns.start * size, row + columns.stop * size) for row in row_starts])
        elif not any(key in image.header for key in _SCALING):
            dtype = np.dtype(fits.BITPIX2DTYPE[image.header["BITPIX"]]).newbyteorder(">")
            # Ten times as fast as a section, which reads row by row.
            return np.asarray(np.memmap(self.path, dtype, "r", start, image.shape)[rows, columns])
        return np.asarray(image.section[rows, columns])


def _is_image(hdu: Any) -> bool:
    return bool(hdu.is_image and hdu.shape)


def _gzipped(path: str) -> MosaicError:
    return MosaicError(
        f"{path} is gzipped, and cannot be read in parts. Unzip it with `redden survey convert`, "
        "which downloads it first if need be."
    )
