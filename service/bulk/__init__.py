"""Measuring many galaxies: the path of a cutout, vectorised over the rows of a catalogue."""
