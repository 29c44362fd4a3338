"""Galaxies that others have simulated, as data sets of noiseless scenes like those of the built-in forward model.

Images and datacubes of radiative transfer with SKIRT (`training.imports.skirt`), and star particles with the dust in
front of them (`training.imports.particles`); see ``docs/import.md``.
"""
