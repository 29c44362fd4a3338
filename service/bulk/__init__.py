"""Measuring many galaxies: the path of a cutout, vectorised over the rows of a catalogue."""

from service.bulk.measure import measure_images, measure_positions

__all__ = ["measure_images", "measure_positions"]
