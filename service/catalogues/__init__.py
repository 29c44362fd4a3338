"""Catalogues of galaxies: reading them in the formats of the field, keeping them, and writing the results."""

from service.catalogues.catalogue import Catalogue, CatalogueFolder
from service.catalogues.read import read

__all__ = ["Catalogue", "CatalogueFolder", "read"]
