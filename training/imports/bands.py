"""From a product of radiative transfer to a galaxy's flux in bands, at its own redshift or another, and to labels."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from redden.errors import BandError, PixelGridError, ReddenError
from training.imports.product import CURVE, Place, Product, curve, pivot
from training.simulate.ssp import LYMAN_ALPHA

Array = NDArray[np.float64]

REST_BANDS: Final = {"B": "bessell_B", "V": "bessell_V"}
"""Bands of the labels, by their names in astro-sedpy."""
LEAST_SAMPLES: Final = 5
"""Wavelengths that a datacube must have where a band transmits more than half of its peak."""
_NEGLIGIBLE: Final = 0.02
"""Transmission over its peak at the ends of what a datacube must cover."""


class LabelError(ReddenError):
    """A galaxy's attenuation cannot be told."""


def in_bands(product: Product, bands: tuple[str, ...], place: Place) -> tuple[Array, Array]:
    """The galaxy as seen in NIRCam bands from a place, which may be another than the product's.

    A datacube is integrated over the transmission curves, counting photons, where the redshift puts its wavelengths;
    intergalactic hydrogen lets nothing pass blueward of Lyman alpha. Images in bands are taken as they are at their own
    redshift. At another, the flux per frequency is interpolated linearly in ln(wavelength), pixel by pixel, between
    those bands that saw the same rest-frame light. Nothing evolves.

    Parameters
    ----------
    product : Product
    bands : tuple of str
        NIRCam bands.
    place : Place
        From where the galaxy is to be seen.

    Returns
    -------
    flux : ndarray, shape (ny, nx, bands)
        In nJy per pixel.
    pixel : ndarray, shape (2,)
        Sides of a pixel in arcsec, along x and y.

    Raises
    ------
    BandError
        If the product does not have, or does not reach, a band.
    """
    stretch = (1 + place.redshift) / (1 + product.place.redshift)
    weights = np.array([_weights(product, band, stretch, place.redshift) for band in bands])
    # L_nu is the same in both; f_nu = (1 + z) L_nu / (4 pi D^2).
    dimming = stretch * (product.place.luminosity_distance / place.luminosity_distance) ** 2
    shrinking = product.place.angular_distance / place.angular_distance
    return np.moveaxis(product.weighted(weights), 0, -1) * dimming, np.array(product.pixel) * shrinking


def labels(dusty: Product, dust_free: Product) -> dict[str, float]:
    """A_V, E(B-V) and R_V of a galaxy: rest-frame Bessell B and V of all of its light, dusty over dust-free.

    Of datacubes both bands are integrated. Of images in bands the attenuation in each is interpolated linearly in
    ln(wavelength) to the pivot wavelengths of B and V.

    Raises
    ------
    LabelError
        If the two products do not have the same planes, have no light, or do not reach B and V.
    """
    same = len(dusty.wavelength) == len(dust_free.wavelength) and np.allclose(
        dusty.wavelength, dust_free.wavelength, rtol=1e-4
    )
    if not same or dusty.bands != dust_free.bands:
        raise LabelError(f"{dusty.source} and {dust_free.source} do not have the same wavelengths. Make them alike.")
    seen, emitted = dusty.total(), dust_free.total()
    a_b, a_v = (_attenuation(dusty, seen, emitted, name, rest) for name, rest in REST_BANDS.items())
    return attenuation_labels(a_v, a_b - a_v)


def attenuation_labels(a_v: float, e_bv: float) -> dict[str, float]:
    """A_V and E(B-V) with their ratio, which is NaN without reddening."""
    if not np.isfinite([a_v, e_bv]).all():
        raise LabelError(f"A_V is {a_v:g} and E(B-V) is {e_bv:g}; both must be finite magnitudes.")
    return {"a_v": a_v, "e_bv": e_bv, "r_v": a_v / e_bv if e_bv else np.nan}


def band_weights(name: str, wavelength: Array, source: str) -> Array:
    """Weights of f_nu on a grid of wavelengths, so that their sum is the mean f_nu of a band; their sum is 1.

    Parameters
    ----------
    name : str
        Filter in astro-sedpy.
    wavelength : ndarray
        Ascending, in Angstrom.
    source : str
        For messages.

    Raises
    ------
    BandError
        If the grid does not cover the band, or is too coarse.
    """
    transmission = curve(name)
    reach = transmission.wavelength[transmission.transmission > _NEGLIGIBLE * transmission.transmission.max()]
    if wavelength[0] > reach.min() or wavelength[-1] < reach.max():
        raise BandError(
            f"{source} covers {wavelength[0] / 1e4:.4g}-{wavelength[-1] / 1e4:.4g} um of what {name} sees, "
            f"{reach.min() / 1e4:.4g}-{reach.max() / 1e4:.4g} um. Leave the band out, or make a wider datacube."
        )
    response = np.interp(wavelength, transmission.wavelength, transmission.transmission, left=0.0, right=0.0)
    if (samples := int((response > transmission.transmission.max() / 2).sum())) < LEAST_SAMPLES:
        raise BandError(
            f"{source} has {samples} wavelengths within {name}; a spectrum needs at least {LEAST_SAMPLES}. If its "
            "planes are bands, name them in order (--planes)."
        )
    response *= np.gradient(wavelength) / wavelength  # photons per f_nu
    return np.asarray(response / response.sum())


def _weights(product: Product, band: str, stretch: float, redshift: float) -> Array:
    """Weights of a product's planes in a band, with all wavelengths stretched, shape (planes,)."""
    if product.bands is None:
        wavelength = product.wavelength * stretch
        weights = band_weights(CURVE.format(band.lower()), wavelength, product.source)
        return np.where(wavelength / (1 + redshift) < LYMAN_ALPHA, 0.0, weights)
    if np.isclose(stretch, 1, rtol=1e-6):
        if band not in product.bands:
            raise BandError(f"{product.source} has no {band}; it has {', '.join(product.bands)}.")
        return np.array([float(each == band) for each in product.bands])
    seen = curve(CURVE.format(band.lower()))
    bluest = seen.wavelength[seen.transmission > seen.transmission.max() / 2].min()
    if bluest < LYMAN_ALPHA * (1 + redshift):
        raise BandError(
            f"at redshift {redshift:g}, {band} sees light blueward of Lyman alpha, which images in bands do not tell "
            "apart. Leave the band out, choose a lower redshift, or use a datacube."
        )
    place = _bracket(product, pivot(band) / stretch)
    if place is None:
        raise BandError(
            f"at redshift {redshift:g}, {band} sees what {pivot(band) / stretch / 1e4:.3g} um saw at "
            f"{product.place.redshift:g}; {product.source} has {product.bands[0]} to {product.bands[-1]}. Leave the "
            "band out, choose a nearer redshift, or use a datacube."
        )
    return place


def _bracket(product: Product, wavelength: float) -> Array | None:
    """Weights with which planes interpolate to a wavelength, linearly in its logarithm; None if it is beyond them."""
    nodes = np.log(product.wavelength)
    at = np.log(wavelength)
    if not nodes[0] <= at <= nodes[-1]:
        return None
    return np.array([np.interp(at, nodes, unit) for unit in np.eye(len(nodes))])


def _rest_weights(product: Product, name: str, rest: str) -> Array:
    """Weights of a product's planes in rest-frame B or V, shape (planes,)."""
    redshift = product.place.redshift
    if product.bands is None:
        try:
            return band_weights(rest, product.wavelength / (1 + redshift), product.source)
        except BandError as error:
            raise LabelError(f"in the rest frame, {error}") from error
    weights = _bracket(product, float(curve(rest).wave_pivot) * (1 + redshift))
    if weights is None:
        raise LabelError(
            f"rest-frame {name} at redshift {redshift:g} is beyond {product.bands[0]} to {product.bands[-1]} of "
            f"{product.source}."
        )
    return weights


def _attenuation(product: Product, seen: Array, emitted: Array, name: str, rest: str) -> float:
    """Attenuation in mag: that of the integrated band of a datacube, or the interpolated one of two bands."""
    weights = _rest_weights(product, name, rest)
    if product.bands is None:
        seen, emitted, weights = np.array([weights @ seen]), np.array([weights @ emitted]), np.ones(1)
    used = weights > 0
    if not (np.all(seen[used] > 0) and np.all(emitted[used] > 0)):
        raise LabelError(f"{product.source}, or the same without dust, has no light in rest-frame {name}.")
    return float(weights[used] @ (-2.5 * np.log10(seen[used] / emitted[used])))


def check_resolved(pixel: Array, coarsest: float, source: str) -> None:
    """Refuse pixels that are too coarse to show what the telescope would.

    Raises
    ------
    PixelGridError
        If a side is longer than `coarsest`, in arcsec.
    """
    if pixel.max() > coarsest:
        raise PixelGridError(
            f"{source} has pixels of {pixel[0]:.3g} x {pixel[1]:.3g} arcsec there; up to {coarsest} can be used. "
            "Make finer images."
        )
