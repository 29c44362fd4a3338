"""Catalogues of galaxies: reading them in the formats of the field, keeping them, and writing the results."""

from service.catalogues.catalogue import Catalogue, CatalogueFolder
from service.catalogues.read import read
from service.catalogues.results import FORMATS, results_schema, write_results

__all__ = ["FORMATS", "Catalogue", "CatalogueFolder", "read", "results_schema", "write_results"]
