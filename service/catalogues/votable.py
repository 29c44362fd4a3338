"""VOTables, in all their serialisations, and what they say about a table beside its columns."""

from pathlib import Path
from typing import Any, Final
from xml.parsers import expat

import pyarrow as pa
from astropy.io import votable
from astropy.io.votable.tree import TableElement, VOTableFile

from redden.errors import CatalogueError
from service.catalogues.schema import from_astropy, with_meta

_INFO: Final = ("ID", "name", "value", "xtype", "ref", "unit", "ucd", "utype")
_PARAM: Final = ("ID", "name", "datatype", "arraysize", "ucd", "utype", "xtype", "description")
_COOSYS: Final = ("ID", "system", "equinox", "epoch", "refposition")
_TABLE: Final = ("ID", "name", "ucd", "utype", "description")


def read_votable(path: Path) -> pa.Table:
    """Read the first table of a VOTable file.

    Raises
    ------
    CatalogueError
        If it cannot be read, or its data are elsewhere: nothing is fetched that a file refers to.
    """
    try:
        _refuse_references(path)
        with path.open("rb") as stream:
            file = votable.parse(stream, table_number=0, verify="ignore")
        element = file.get_first_table()
        table = from_astropy(element.to_table(use_names_over_ids=True))
    except CatalogueError:
        raise
    except Exception as error:  # on broken XML and wrong types astropy raises nearly any exception there is
        raise CatalogueError(f"the VOTable cannot be read: {error}") from error
    return table.replace_schema_metadata(with_meta(table.schema, _described(file, element)).metadata)


def _refuse_references(path: Path) -> None:
    """Refuse data that the file only points to, which the parser would fetch."""

    class TableData(Exception):
        """All that stands before the rows has been seen."""

    def on_start(tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "STREAM" and "href" in attributes:
            raise CatalogueError("the VOTable's data are at another place (STREAM href). Send a file that holds them.")
        if tag == "TABLEDATA":
            raise TableData

    parser = expat.ParserCreate()
    parser.StartElementHandler = on_start
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except TableData:
        pass
    except expat.ExpatError as error:
        raise CatalogueError(f"the VOTable is broken XML: {error}. Make or download it again.") from error


def _described(file: VOTableFile, element: TableElement) -> dict[str, Any]:
    """What a VOTable says about its table."""
    resource = next((found for found in file.resources if element in found.iter_tables()), file)
    infos = [*file.infos, *getattr(resource, "infos", ()), *element.infos]
    params = [*file.params, *getattr(resource, "params", ()), *element.params]
    systems = [*file.coordinate_systems, *getattr(resource, "coordinate_systems", ())]
    meta = _attributes(element, _TABLE)
    if "description" not in meta and resource.description:
        meta["description"] = resource.description
    more = {
        "infos": [_attributes(info, _INFO) for info in infos],
        "params": [
            _attributes(param, _PARAM) | {"value": _plain(param.value), "unit": _unit(param)} for param in params
        ],
        "coosys": [_attributes(system, _COOSYS) for system in systems],
        "refs": {field.name: field.ref for field in element.fields if field.ref},
    }
    return meta | {key: value for key, value in more.items() if value}


def _attributes(element: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: str(value) for name in names if (value := getattr(element, name, None)) is not None}


def _unit(param: Any) -> str | None:
    return None if param.unit is None else str(param.unit.to_string())


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    return value.tolist() if hasattr(value, "tolist") else str(value)
