"""The columns that a measurement adds to a catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from redden.modelcard import ModelCard
from redden.posterior import QUANTITIES

OK: Final = "ok"
"""Status of a row that was measured; of any other row it is a sentence that says why not."""

QUANTILES: Final = ("_lower_95", "_lower_68", "", "_upper_68", "_upper_95")
"""What follows the name of a quantity, in the order of `redden.posterior.PROBABILITIES`."""

_QUANTITIES: Final = {
    "a_v": ("Attenuation in the rest-frame V band, A_V", "mag", "phys.absorption;em.opt.V"),
    "e_bv": ("Colour excess E(B-V)", "mag", "phot.color.excess"),
    "r_v": ("R_V = A_V / E(B-V)", "", "phys.absorption;arith.ratio"),
    "log_ssfr": ("log10 of the specific star-formation rate over 100 Myr", "dex(1 / yr)", "phys.SFR;arith.ratio"),
}
"""Description, unit and UCD of the quantities."""

_ENDS: Final = {
    "": ("median", "stat.median"),
    "_lower_68": ("lower end of the 68 % interval", "stat.min"),
    "_upper_68": ("upper end of the 68 % interval", "stat.max"),
    "_lower_95": ("lower end of the 95 % interval", "stat.min"),
    "_upper_95": ("upper end of the 95 % interval", "stat.max"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of results.

    Attributes
    ----------
    name : str
        Its name, before a clash with a column of the catalogue is solved.
    type : pyarrow.DataType
        Type of its values, which may be null.
    unit : str
        Unit as `astropy.units` reads it; empty for a pure number and for what is no number.
    ucd : str
        What it is, as an IVOA Unified Content Descriptor.
    description : str
        What it is, in words.
    quantity : str
        The quantity that it is the median or the end of an interval of; empty for anything else.
    """

    name: str
    type: pa.DataType
    unit: str
    ucd: str
    description: str
    quantity: str = ""


def result_columns(card: ModelCard) -> tuple[Column, ...]:
    """The columns that a model adds, in order.

    Parameters
    ----------
    card : ModelCard
        The model.

    Returns
    -------
    tuple of Column
    """
    return (
        *(_quantity(name, end) for name in QUANTITIES for end in _ENDS),
        *(_snr(band) for band in card.bands),
        Column("domain_score", pa.float32(), "", "stat.value", "How unlike the training galaxies; larger is stranger"),
        Column("in_domain", pa.bool_(), "", "meta.code.qual", "Whether it resembles the training galaxies"),
        Column("flags", pa.string(), "", "meta.code", "What to know before using the numbers, codes between spaces"),
        Column("status", pa.string(), "", "meta.code.status", f"`{OK}`, or why there are no numbers"),
    )


def schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of these columns."""
    return pa.schema([pa.field(column.name, column.type) for column in columns])


def _quantity(name: str, end: str) -> Column:
    words, unit, ucd = _QUANTITIES[name]
    end_words, end_ucd = _ENDS[end]
    return Column(f"{name}{end}", pa.float32(), unit, f"{ucd};{end_ucd}", f"{words}: {end_words}", name)


def _snr(band: str) -> Column:
    words = f"Signal-to-noise ratio in {band} in a circle of 0.16 arcsec radius"
    return Column(f"snr_{band}", pa.float32(), "", "stat.snr;em.IR", words)
