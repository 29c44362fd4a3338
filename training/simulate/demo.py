"""One mock galaxy as the FITS file that a user would have: several bands, errors, units and a WCS."""

from typing import Final

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from redden.grid import PIXEL_AREA_SR, PIXEL_SCALE
from redden.snr import aperture_snr
from training.simulate.dust_screen import VIEWS
from training.simulate.instrument import draw_sky, noise
from training.simulate.run import attenuate, draw_mock, expose, look
from training.simulate.settings import Observation, Settings

SIDE: Final = 64
"""Side of the images in pixels."""
POSITION: Final = (53.16, -27.79)
"""Right ascension and declination in degrees that the mock galaxy is given, in GOODS-South."""
DTM: Final = 0.3
DEPTH: Final = 29.8
"""5 sigma depth in AB magnitudes, that of JADES."""


def demo_galaxy(seed: int) -> fits.HDUList:
    """Simulate a galaxy and write its images, their errors and the truth.

    Parameters
    ----------
    seed : int
        Decides everything.

    Returns
    -------
    HDUList
        A primary header with the true values, and for each band its image (``F277W``) and error (``F277W_ERR``).
    """
    settings = Settings(seed=seed, galaxies=1, observation=Observation(depth=(DEPTH, DEPTH), centring=0.0))
    bands = settings.observation.bands
    rng = np.random.default_rng(seed)
    sky = draw_sky(settings.observation, rng)
    mock = draw_mock(settings, rng)
    view = look(mock, VIEWS[0])
    flux, labels = attenuate(mock.light, DTM * view.tau_v)
    empty = noise(sky, len(bands), rng, SIDE)
    pixels = expose(settings, view, flux, rng, SIDE) + empty
    middle = slice(SIDE // 4, -SIDE // 4)
    snr = aperture_snr(pixels[middle, middle])

    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "OBJECT": (f"mock galaxy {seed}", "simulated by redden, not observed"),
            "TRUE_AV": (round(labels["a_v"], 4), "[mag] true A_V"),
            "TRUE_EBV": (round(labels["e_bv"], 4), "[mag] true E(B-V)"),
            "TRUE_RV": (round(labels["r_v"], 3), "true R_V"),
            "TRUESSFR": (round(mock.galaxy.log_ssfr, 3), "[log10(1/yr)] true sSFR over 100 Myr"),
            "TRUE_Z": (round(mock.galaxy.z, 4), "true redshift"),
            "TRUELOGM": (round(mock.galaxy.log_mass, 3), "[log10(Msun)] true stellar mass"),
            "DTM": (DTM, "dust-to-metal ratio"),
        }
    )
    hdus = [primary]
    header = _wcs_header()
    for i, band in enumerate(bands):
        header["FILTER"] = (band, "NIRCam filter")
        header["BUNIT"] = ("nJy", "flux density per pixel")
        header["PIXAR_SR"] = (PIXEL_AREA_SR, "[sr] solid angle of a pixel")
        header["SNR"] = (round(float(snr[i]), 1), "in a circle of 0.16 arcsec radius")
        error = np.full((SIDE, SIDE), empty[..., i].std(), dtype=np.float32)
        hdus.append(fits.ImageHDU(pixels[..., i].astype(np.float32), header, name=band))
        hdus.append(fits.ImageHDU(error, header, name=f"{band}_ERR"))
    return fits.HDUList(hdus)


def _wcs_header() -> fits.Header:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = POSITION
    wcs.wcs.crpix = [(SIDE + 1) / 2] * 2
    wcs.wcs.cdelt = [-PIXEL_SCALE / 3600, PIXEL_SCALE / 3600]
    return wcs.to_header()
