"""The built-in forward model: mock galaxies at z > 6 with clumpy dust, seen by JWST/NIRCam.

It follows the steps of Fu et al. (2024), with a statistical galaxy in the place of a TNG50 one and a screen of dust
in front of every star particle in the place of SKIRT's radiative transfer; see ``docs/forward_model.md``.
"""
