"""The pixel grid of every model input (Fu et al. 2024, section 2)."""

SIZE = 32
"""Side of a model input in pixels."""

PIXEL_SCALE = 0.03
"""Side of a pixel in arcsec."""

PIXEL_SCALE_TOLERANCE = 0.01
"""Relative difference up to which a pixel scale counts as that of the grid: 0.3 pixels over a cutout."""

PIXEL_AREA_SR = (PIXEL_SCALE / 206264.80624709636) ** 2
"""Solid angle of a pixel in sr."""
