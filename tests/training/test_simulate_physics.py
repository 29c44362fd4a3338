"""The physics of the forward model, part by part, against closed forms and independent calculations."""

import numpy as np
import pytest
from astropy.cosmology import Planck15
from scipy.integrate import quad
from sedpy.observate import Filter

from training.simulate.dust_screen import TAU_V, VIEWS, share_in_front, sky_axes, tau_v
from training.simulate.gas import COLD_DENSITY, GasCells, cell_radius, draw_gas
from training.simulate.geometry import draw_structure, place_gas, place_stars
from training.simulate.population import RECENT, SNAPSHOTS, Galaxy, draw_galaxy, surviving_fraction
from training.simulate.settings import Gas, Geometry, Population
from training.simulate.spectra import TAU_NODES, band_table, behind_dust, label_table, mixture
from training.simulate.ssp import LINES, extinction, load_stars

MASSES = Population(log_mass_range=(8.0, 10.7))


def draw(count: int, prior: Population = MASSES) -> list[Galaxy]:
    return [draw_galaxy(prior, np.random.default_rng(seed)) for seed in range(count)]


# --- population ----------------------------------------------------------------------------------------------------


def test_galaxies_follow_the_prior() -> None:
    galaxies = draw(400, Population(star_particles=300))
    log_mass = np.array([galaxy.log_mass for galaxy in galaxies])
    z = np.array([galaxy.z for galaxy in galaxies])
    assert log_mass.min() >= 8
    assert log_mass.max() <= 10.7
    # Share below 10^9 Msun of a power law of slope -0.4 between 10^8 and 10^10.7 Msun.
    share = (10**-3.2 - 10**-3.6) / (10**-3.2 - 10**-4.28)
    assert (log_mass < 9).mean() == pytest.approx(share, abs=0.06)
    assert z.mean() == pytest.approx(7.25, abs=0.1)
    drawn = {galaxy.z for galaxy in draw(60, Population(redshifts="snapshots", star_particles=10))}
    assert drawn <= set(SNAPSHOTS)


def test_stars_add_up_to_the_stellar_mass_and_are_younger_than_the_first_stars() -> None:
    for galaxy in draw(5):
        stellar_mass = (surviving_fraction(galaxy.age) * galaxy.formed_mass).sum()
        assert np.log10(stellar_mass) == pytest.approx(galaxy.log_mass)
        oldest = (Planck15.age(galaxy.z) - Planck15.age(20)).to_value("Myr")
        assert 0 <= galaxy.age.min() < galaxy.age.max() < oldest + 2
        assert np.all(np.diff(galaxy.formed_before) < 0)


def test_the_ssfr_label_scatters_about_the_drawn_one_below_its_ceiling() -> None:
    galaxies = draw(300)
    label = np.array([galaxy.log_ssfr for galaxy in galaxies])
    mean = np.array([-8.22 - 0.03 * (g.log_mass - 9) + 0.08 * (g.z - 7) + g.ssfr_deviation for g in galaxies])
    # All stars younger than 100 Myr: nothing but the dead stars lifts the sSFR above 1 / 100 Myr.
    ceiling = -np.log10(surviving_fraction(np.linspace(0, RECENT, 1000)).mean() * RECENT * 1e6)
    assert label.max() < ceiling + 0.03
    reachable = mean < -8.2
    assert np.median((label - mean)[reachable]) == pytest.approx(0, abs=0.05)
    assert (label - mean)[reachable].std() < 0.2


def test_dying_stars_leave_the_mass_that_behroozi_states() -> None:
    np.testing.assert_allclose(surviving_fraction(np.array([0.0, 1000.0])), [1.0, 1 - 0.05 * np.log(1 + 1000 / 1.4)])


# --- geometry and gas ----------------------------------------------------------------------------------------------


def test_cavities_are_empty_of_the_gas_of_their_cloud() -> None:
    rng = np.random.default_rng(0)
    prior = Geometry(cleared=1.0, gas_in_clouds=1.0, gas_in_clouds_scatter=0.0, clouds=(1, 1), discs=(1, 1))
    structure = draw_structure(prior, draw(1)[0], rng)
    position, _ = place_gas(prior, structure, 500, rng)
    distance = np.linalg.norm(position - structure.cloud_centre[0], axis=1)
    assert distance.min() >= prior.clearing_radius * structure.cloud_radius[0]


def test_young_stars_are_in_clouds_and_old_ones_are_not() -> None:
    rng = np.random.default_rng(1)
    prior = Geometry(stars_in_clouds=(1.0, 1.0), dispersal_time=(50.0, 50.0), cloud_radius=0.01)
    structure = draw_structure(prior, draw(1)[0], rng)
    age = np.repeat([0.0, 1000.0], 1000)
    position = place_stars(prior, structure, age, rng)
    nearest = np.linalg.norm(position[:, None] - structure.cloud_centre, axis=-1) / structure.cloud_radius
    inside = nearest.min(axis=1) < 3
    assert inside[:1000].all()
    assert inside[1000:].mean() < 0.2


def test_a_disc_has_the_scale_length_of_the_effective_radius() -> None:
    rng = np.random.default_rng(2)
    prior = Geometry(discs=(1, 1), stars_in_clouds=(0.0, 0.0), disc_height=(1e-6, 1e-6))
    structure = draw_structure(prior, draw(1)[0], rng)
    radius = np.linalg.norm(place_stars(prior, structure, np.zeros(20_000), rng), axis=1)
    assert np.median(radius) == pytest.approx(structure.effective_radius, rel=0.03)


def test_a_cell_radius_holds_one_cell() -> None:
    lattice = np.stack(np.meshgrid(*[np.arange(12.0)] * 3), axis=-1).reshape(-1, 3)
    inner = np.all((lattice > 2) & (lattice < 9), axis=1)
    volume = 4 / 3 * np.pi * cell_radius(lattice)[inner] ** 3
    # Of a cubic lattice the 8th neighbour is at the distance of a face's diagonal.
    np.testing.assert_allclose(volume, 4 / 3 * np.pi * 2**1.5 / 8)


def test_only_dense_gas_is_cold() -> None:
    rng = np.random.default_rng(3)
    galaxy, prior = draw(1)[0], Gas()
    structure = draw_structure(Geometry(), galaxy, rng)
    cold = draw_gas(prior, Geometry(), galaxy, structure, -0.6, np.random.default_rng(4))
    thin = Gas(log_gas_to_stars=prior.log_gas_to_stars - 1.7)
    fewer = draw_gas(thin, Geometry(), galaxy, structure, -0.6, np.random.default_rng(4))
    assert 0 < len(fewer.radius) < len(cold.radius) <= prior.cells
    # Hydrogen atoms per cm3 from the metals, undoing Z = 0.0134 10^-0.6 up to its scatter and gradient.
    atoms = fewer.metal_mass / (0.0134 * 10**-0.6) / (4 / 3 * np.pi * fewer.radius**3) * 3.04e-8
    assert np.median(atoms) > COLD_DENSITY


# --- dust ----------------------------------------------------------------------------------------------------------


def ball(reach: float, mass: float) -> GasCells:
    return GasCells(np.zeros((1, 3)), np.array([reach / 2.5]), np.array([mass]))


def test_a_cell_hides_what_is_behind_it_and_nothing_in_front() -> None:
    gas = ball(1.0, 1e5)
    stars = np.array([[0.3, 0.2, -5.0], [0.3, 0.2, 5.0], [0.3, 0.2, 0.0], [0.8, 0.7, -5.0]])
    behind, in_front, amidst, beside = tau_v(stars, gas, gas.position)
    norm = 1e5 * 315 / (64 * np.pi)
    column = 2 * quad(lambda z: norm * (1 - 0.13 - z**2) ** 3, 0, np.sqrt(0.87))[0]
    assert behind == pytest.approx(TAU_V * column)
    assert amidst == pytest.approx(behind / 2)
    assert in_front == pytest.approx(0, abs=1e-12)
    assert beside == 0


def test_the_dust_of_a_cell_adds_up_to_its_mass() -> None:
    step = np.arange(-1.0, 1.0, 0.02) + 0.01
    x, y = (axis.ravel() for axis in np.meshgrid(step, step))
    gas = ball(0.9, 3e4)
    column = tau_v(np.column_stack([x, y, np.full(x.size, -9.0)]), gas, gas.position) / TAU_V
    assert column.sum() * 0.02**2 == pytest.approx(3e4, rel=1e-3)


def test_many_cells_of_all_sizes_add_up() -> None:
    rng = np.random.default_rng(5)
    gas = GasCells(rng.normal(size=(60, 3)), rng.lognormal(-1.5, 1.0, 60), rng.lognormal(9, 1, 60))
    stars = rng.normal(size=(40, 3))
    one_by_one = sum(
        tau_v(stars, GasCells(gas.position[[i]], gas.radius[[i]], gas.metal_mass[[i]]), gas.position[[i]])
        for i in range(60)
    )
    np.testing.assert_allclose(tau_v(stars, gas, gas.position), one_by_one, rtol=1e-10)


def test_the_share_in_front_is_the_integral_of_the_kernel() -> None:
    for depth in (-1.5, -1.0, -0.4, 0.0, 0.7, 1.0, 2.0):
        whole = quad(lambda s: (1 - s**2) ** 3, -1, 1)[0]
        part = quad(lambda s: (1 - s**2) ** 3, -1, np.clip(depth, -1, 1))[0]
        assert share_in_front(np.array([depth]))[0] == pytest.approx(part / whole, abs=1e-12)


def test_the_sky_is_perpendicular_to_the_view() -> None:
    for view in VIEWS:
        axes = sky_axes(view)
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(axes @ view, [0, 0, 1], atol=1e-12)
        assert np.linalg.det(axes) == pytest.approx(1)


# --- spectra -------------------------------------------------------------------------------------------------------


def test_bands_agree_with_sedpy() -> None:
    stars, z = load_stars(), 7.0
    young_free = stars.lines.sum(axis=1) < 1e-3 * stars.lines.max()
    spectrum = int(np.flatnonzero(young_free)[3])
    table = np.exp(band_table(("F200W", "F277W", "F444W"), z)[spectrum, :, 0])
    distance = Planck15.luminosity_distance(z).to_value("cm")
    observed = stars.continuum[spectrum] / (4 * np.pi * distance**2 * (1 + z))
    for band, flux in zip(("f200w", "f277w", "f444w"), table, strict=True):
        magnitude = Filter(f"jwst_{band}").ab_mag(stars.wavelength * (1 + z), observed)
        assert -2.5 * np.log10(flux) + 31.4 == pytest.approx(magnitude, abs=0.02)


def test_lines_brighten_the_bands_that_they_fall_into() -> None:
    youngest = 0
    stars = load_stars()
    assert stars.lines[youngest, list(LINES).index(6564.6)] / stars.lines[youngest, list(LINES).index(4862.7)] == 2.86
    # [OIII] 5007 and Hbeta are in F410M at z = 7.2, and between F356W and F410M's edges at 6.3.
    colour = {z: np.subtract(*band_table(("F410M", "F356W"), z)[youngest, :, 0]) for z in (7.2, 6.3)}
    assert colour[7.2] > colour[6.3] + 0.5


def test_an_ionising_photon_makes_its_share_of_hbeta() -> None:
    stars = load_stars()
    # 10^46.7 photons per second and Msun from newborn stars (Molla et al. 2009, table 4 and its neighbours).
    hbeta = stars.lines[:, list(LINES).index(4862.7)].max()
    assert np.log10(hbeta / (0.9 * 4.78e-13)) == pytest.approx(46.7, abs=0.2)


def test_nothing_comes_through_intergalactic_hydrogen() -> None:
    late = band_table(("F115W", "F200W"), 9.6)[:, :, 0]
    early = band_table(("F115W", "F200W"), 6.5)[:, :, 0]
    assert np.all(late[:, 0] - late[:, 1] < early[:, 0] - early[:, 1] - 3)


def test_a_uniform_screen_reddens_like_the_milky_way() -> None:
    log_flux = label_table()[40:41]
    tau = np.array([0.4])
    a_b, a_v = -2.5 * np.log10(behind_dust(log_flux, tau) / np.exp(log_flux[:, :, 0]))[0]
    assert a_v == pytest.approx(1.086 * 0.4, rel=0.03)
    assert a_v / (a_b - a_v) == pytest.approx(3.1, abs=0.3)


def test_flux_between_tabulated_optical_depths_is_exact_enough() -> None:
    stars = load_stars()
    spectrum = 50
    between = float(np.sqrt(TAU_NODES[10] * TAU_NODES[11]))
    weights = np.zeros_like(stars.wavelength)
    visible = (stars.wavelength > 4700) & (stars.wavelength < 7000)
    response = Filter("bessell_V")
    weights[visible] = np.interp(stars.wavelength[visible], response.wavelength, response.transmission)
    weights *= stars.wavelength * np.gradient(stars.wavelength) * stars.continuum[spectrum]
    exact = (weights * np.exp(-between * extinction(stars.wavelength))).sum() / weights.sum()
    table = label_table()[spectrum : spectrum + 1]
    interpolated = behind_dust(table, np.array([between]))[0, 1] / np.exp(table[0, 1, 0])
    assert interpolated == pytest.approx(exact, rel=2e-3)


def test_a_star_between_two_populations_is_a_mixture_of_four() -> None:
    stars = load_stars()
    weights = mixture(np.array([stars.log_age[7], 7.33, 3.0, 12.0]), np.array([stars.log_z[2], -2.2, -9.0, 0.0]))
    dense = weights.toarray()
    np.testing.assert_allclose(dense.sum(axis=1), 1)
    assert np.count_nonzero(dense, axis=1).tolist() == [1, 4, 1, 1]
    assert dense[0, 2 * stars.log_age.size + 7] == 1
    assert dense[2, 0] == 1
    assert dense[3, -1] == 1
