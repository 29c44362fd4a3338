"""Parquet files, with the metadata that astropy and the VOParquet convention put into them."""

import io
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.io import votable
from astropy.table import Table, serialize
from astropy.table.meta import get_header_from_yaml

from redden.errors import CatalogueError
from service.catalogues.schema import MIXINS, from_astropy, has_meta, make_field, with_meta

VOTABLE_KEY: Final = b"IVOA.VOTable-Parquet.content"
"""Where a VOTable without data describes the columns."""
VERSION_KEY: Final = b"IVOA.VOTable-Parquet.version"
_YAML_KEY: Final = b"table_meta_yaml"
MAX_TEXT: Final = 256 * 2**20
"""Most bytes of the texts of a table; a gateway has little memory, and a few kB of Parquet can hold any number."""
MAX_CELLS: Final = 500_000_000
"""Most values of a table; a few kB of Parquet can say that a column holds a billion times the same."""


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet file.

    Raises
    ------
    CatalogueError
        If it cannot be read, or holds more than `MAX_CELLS` values, or texts of more than `MAX_TEXT`.
    """
    try:
        with pq.ParquetFile(path) as file:
            cells = file.metadata.num_rows * file.metadata.num_columns
            if cells > MAX_CELLS:
                raise CatalogueError(
                    f"the Parquet file holds {cells:,} values; {MAX_CELLS:,} are taken. Send fewer rows or columns."
                )
            _check_texts(path, file)
            table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CatalogueError(f"the Parquet file cannot be read: {error}") from error
    if has_meta(table.schema):  # it is one of ours, and complete
        return table
    described, meta = _described(table.schema.metadata or {})
    if MIXINS in meta:  # masks, times ... that astropy makes of several columns
        return from_astropy(serialize.represent_mixins_as_columns(Table.read(path, format="parquet")))
    fields = [_merged(field, described[field.name]) if field.name in described else field for field in table.schema]
    schema = pa.schema(fields, table.schema.metadata)
    return table.cast(with_meta(schema, meta) if meta else schema)


def _check_texts(path: Path, file: pq.ParquetFile) -> None:
    """Refuse texts of more than `MAX_TEXT`; a file says once what may stand in each of a million rows."""
    columns = [file.schema.column(number) for number in range(len(file.schema))]
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    left = MAX_TEXT
    with pq.ParquetFile(path, read_dictionary=texts) as folded:
        for text in texts:
            for group in range(folded.num_row_groups):
                table = folded.read_row_group(group, [text])
                left -= sum(_unfolded(chunk) for column in table.itercolumns() for chunk in column.chunks)
                if left < 0:
                    raise CatalogueError(
                        f"the texts of the Parquet file take more than {MAX_TEXT >> 20} MiB when they are read. "
                        "Send fewer columns."
                    )


def _unfolded(values: pa.Array) -> int:
    """Bytes of texts, also in lists, structs and maps, that are kept once each."""
    if pa.types.is_dictionary(values.type):
        used = pc.value_counts(values.indices.drop_null())
        lengths = pc.binary_length(values.dictionary).cast(pa.int64()).take(used.field("values"))
        return int(pc.sum(pc.multiply(lengths, used.field("counts"))).as_py() or 0)
    if pa.types.is_map(values.type):
        return _unfolded(values.keys) + _unfolded(values.items)
    if pa.types.is_struct(values.type):
        return sum(map(_unfolded, values.flatten()))
    return _unfolded(values.flatten()) if hasattr(values.type, "value_type") else 0


def _described(metadata: dict[bytes, bytes]) -> tuple[dict[str, pa.Field], dict[str, Any]]:
    """The columns as a VOTable or astropy's YAML in the file describes them, and the table's metadata."""
    try:
        if VOTABLE_KEY in metadata:
            file = votable.parse(io.BytesIO(metadata[VOTABLE_KEY]), verify="ignore")
            described = from_astropy(file.get_first_table().to_table(use_names_over_ids=True)).schema
            return {field.name: field for field in described}, {}
        if _YAML_KEY in metadata:
            header = get_header_from_yaml(metadata[_YAML_KEY].decode().splitlines())
            return {column["name"]: _of_yaml(column) for column in header["datatype"]}, dict(header.get("meta", {}))
    except Exception as error:  # on broken XML or YAML astropy raises nearly any exception there is
        raise CatalogueError(f"what the Parquet file says about its columns cannot be read: {error}") from error
    return {}, {}


def _of_yaml(column: dict[str, Any]) -> pa.Field:
    known = {key: column.get(key) for key in ("unit", "description", "format")}
    texts = {key: str(value) for key, value in known.items() if value is not None}
    return make_field(column["name"], pa.null(), meta=column.get("meta"), **texts)


def _merged(field: pa.Field, described: pa.Field) -> pa.Field:
    """A column of the file with what is said of it; what Arrow itself kept comes first."""
    return field.with_metadata({**(described.metadata or {}), **(field.metadata or {})})
