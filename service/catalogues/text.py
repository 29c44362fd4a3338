"""Tables in text: CSV with commas, tabs, semicolons or bars, with comments; columns between spaces; and ECSV."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from astropy.io import ascii as astropy_ascii
from astropy.table import Table, serialize

from redden.errors import CatalogueError
from service.catalogues.schema import from_astropy

_HEAD: Final = 2**20
"""Bytes in which the comments and the names of the columns must be."""
_DELIMITERS: Final = (",", "\t", ";", "|")
_WHOLE: Final = r"^-?(0|[1-9]\d*)$"
"""Whole numbers; ``007`` is a name, and stays as it is."""
_REAL: Final = r"(?i)^[+-]?(((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|inf)$"
_MISSING: Final = pa.array(["", "null", "none", "na", "n/a", "--"])
"""What stands for a missing number, in small letters."""


def read_ecsv(path: Path) -> pa.Table:
    """Read an ECSV file; mixins such as times come as the plain columns that they are made of."""
    try:
        with path.open("rb") as file:
            table = Table.read(file, format="ecsv", engine="pyarrow")
    except Exception as error:  # YAML, CSV or types: astropy raises nearly any exception there is
        raise CatalogueError(f"the ECSV file cannot be read: {error}") from error
    return from_astropy(serialize.represent_mixins_as_columns(table))


def read_csv(path: Path) -> pa.Table:
    """Read a table in text.

    Names of the columns stand in the first line that is no comment, or, as in many tables of astronomy, in the last
    comment before the numbers. Columns of numbers become numbers; whatever else is there stays as it is.

    Raises
    ------
    CatalogueError
        If a line has another number of values than there are columns; the message names the row.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    encoding = "utf-8" if _is_utf8(path) else "latin-1"
    lines = head.decode(encoding, "replace").removeprefix("\ufeff").splitlines()
    start = next((number for number, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if start is None:
        raise CatalogueError(
            "the catalogue has no rows. Its first line names the columns, each other line is a galaxy."
        )
    delimiter = next((mark for mark in _DELIMITERS if mark in lines[start]), None)
    if delimiter is None and len(lines[start].split()) > 1:
        return _between_spaces(path, lines[:start])
    names = _fields(lines[start], delimiter or ",")
    commented = _fields(lines[start - 1].lstrip("# "), delimiter or ",") if start else []
    if len(commented) == len(names) and _are_numbers(names) and not _are_numbers(commented):
        names, start = commented, start - 1
    return _typed(_read_strings(path, _unique(names), start + 1, delimiter or ",", encoding))


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(_HEAD):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]


def _are_numbers(texts: Sequence[str]) -> bool:
    return any(re.match(_REAL, text) for text in texts)


def _unique(names: Sequence[str]) -> list[str]:
    """The names of the columns; those without one are numbered, as in astropy."""
    named = [name or f"col{number}" for number, name in enumerate(names, start=1)]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise CatalogueError(f"two columns are named {twice!r}. Give each its own name.")
    return named


def _read_strings(path: Path, names: list[str], skip: int, delimiter: str, encoding: str) -> pa.Table:
    """All columns as text, null where nothing stands; lines that begin with # are left out."""
    wrong: list[str] = []
    comments = 0

    def on_wrong(row: arrow_csv.InvalidRow) -> str:
        nonlocal comments
        if row.text.startswith("#"):
            comments += 1
            return "skip"
        number = row.number - skip - comments
        wrong.append(f"row {number} has {row.actual_columns} values for {row.expected_columns} columns.")
        return "error"

    try:
        table = arrow_csv.read_csv(
            path,
            # The number of a wrong row is known only where one thread reads all.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, column_names=names, skip_rows=skip, encoding=encoding, block_size=2**23
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=on_wrong
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        reason = (
            f"{wrong[0]} Quote a value that holds the delimiter." if wrong else f"the table cannot be read: {error}"
        )
        raise CatalogueError(reason) from error
    commented = pc.fill_null(pc.starts_with(table[0], "#"), False)
    return table.filter(pc.invert(commented)) if pc.any(commented).as_py() else table


def _typed(table: pa.Table) -> pa.Table:
    """The columns as whole numbers, numbers or truth values, where every value is one; else as the text that it is."""
    columns = []
    for number, name in enumerate(table.column_names):
        columns.append(_typed_column(table[name]))
        table = table.set_column(number, name, pa.nulls(len(table)))  # which frees the text
    return pa.Table.from_arrays(columns, names=table.column_names)


def _typed_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.is_in(pc.utf8_lower(text), _MISSING), None, text)
    if text.null_count == len(text):
        return column
    if _all_match(text, _WHOLE):
        for kind in (pa.int64(), pa.uint64()):
            try:
                return text.cast(kind)
            except pa.ArrowInvalid:  # too large
                continue
    elif _all_match(text, _REAL):
        return pc.utf8_ltrim(pc.utf8_lower(text), "+").cast(pa.float64())
    elif _all_match(text, "^(true|false)$"):
        return text.cast(pa.bool_())
    return column


def _all_match(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())


def _between_spaces(path: Path, comments: Sequence[str]) -> pa.Table:
    """A table whose columns stand between spaces, as SExtractor and TOPCAT write them."""
    numbered = any(re.match(r"#\s*1\s+\w", line) for line in comments)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    formats = ("sextractor",) if numbered else ("commented_header", "basic") if comments else ("basic",)
    failure: Exception | None = None
    for form in formats:
        try:
            return from_astropy(astropy_ascii.read(lines, format=form, guess=False))
        except (astropy_ascii.InconsistentTableError, ValueError, IndexError) as error:
            failure = failure or error
    raise CatalogueError(f"the table cannot be read: {failure}. Separate its columns with commas.") from failure
