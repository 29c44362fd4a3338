"""What can go wrong with what a user gave us.

Every message says what is wrong and what would be right. The gateway maps the classes to HTTP in one table
(``service/errors.py``); nothing here knows of HTTP.
"""


class ReddenError(Exception):
    """Base of all errors that redden raises on purpose."""


class UnreadableFileError(ReddenError):
    """The bytes are not a FITS image that can be read: truncated, another format, a table, empty."""


class BandError(ReddenError):
    """A band is unknown, cannot be told from the file, is given twice, or is not what the model was trained on."""


class UnitError(ReddenError):
    """Pixels have no usable flux unit although bands must be compared."""


class PixelGridError(ReddenError):
    """The pixel scale, the size or the position does not allow a 32x32 cutout of 0.03 arcsec."""


class BadPixelsError(ReddenError):
    """Too many pixels are NaN, infinite, masked or constant to measure anything."""


class ModelCardError(ReddenError):
    """A model card is missing, malformed, or asks for something this version of redden does not have."""


class UnknownModelError(ReddenError):
    """No served model has this name or version."""


class ModelServerError(ReddenError):
    """The model server is away or answered with an error."""


class SurveyError(ReddenError):
    """A survey file is malformed, or its mosaics do not make a survey."""


class UnknownSurveyError(ReddenError):
    """No registered survey has this name."""


class NoCatalogueError(ReddenError):
    """A survey has no catalogue that can be given."""


class CatalogueError(ReddenError):
    """A table or an archive of galaxies cannot be read, or does not say where the galaxies are."""


class OffFootprintError(ReddenError):
    """A survey has no data at a position."""


class MosaicError(ReddenError):
    """A mosaic of a survey cannot be read: missing, forbidden, broken, or of a kind that cannot be read in parts."""


class MosaicAwayError(MosaicError):
    """A mosaic of a survey cannot be read now; it may be possible later."""
