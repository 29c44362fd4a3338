"""Commands for galaxies that others have simulated: import, observe, and measure them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from training.user_errors import user_errors

app = typer.Typer()

_Out = Annotated[Path, typer.Argument(help="New directory for the data set of noiseless scenes.")]
_Bands = Annotated[str | None, typer.Option(help="NIRCam bands, separated by commas.")]
_Depth = Annotated[
    tuple[float, float],
    typer.Option(help="Range of depths to draw from: 5 sigma AB magnitude in circles of 0.1 arcsec radius."),
]
_Seed = Annotated[int, typer.Option(min=0, help="Equal options and seed give equal data.")]


@app.command()
def import_skirt(
    table: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Table: CSV, ECSV, FITS or VOTable.")],
    out: _Out,
    bands: _Bands = None,
    redshift: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=19.99,
            help="Move every galaxy there: fainter, smaller, and seen in other rest-frame light; not evolved.",
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of all images where headers are wrong or silent, such as MJy/sr.")
    ] = None,
    pixel_scale: Annotated[
        float | None, typer.Option(help="Side of a pixel in arcsec, where headers do not tell.")
    ] = None,
    planes: Annotated[
        str | None, typer.Option(help="Bands of the planes of a cube, in order, where the header does not name them.")
    ] = None,
    seed: _Seed = 0,
) -> None:
    """Make scenes of galaxies that went through radiative transfer with SKIRT: datacubes, or images in bands.

    TABLE has a row per galaxy, dust content and orientation. It needs the columns galaxy, z, log_mass (or mass, in
    Msun), log_ssfr (or sfr, in Msun/yr, over 100 Myr) and dusty: a FITS file, or a pattern such as g1_*_total.fits,
    relative to the table. It may have dust_free (the same without dust, SKIRT's `transparent`), from which A_V and
    E(B-V) are computed; a_v and e_bv, where they cannot be; dtm; orientation; and distance, in Mpc, for products in
    the rest frame. Products are taken to be without noise and without a point-spread function.
    """
    from training.imports.skirt import SkirtImport
    from training.imports.skirt import import_skirt as read

    with user_errors():
        settings = SkirtImport(
            bands=None if bands is None else tuple(bands.split(",")),
            redshift=redshift,
            unit=unit,
            pixel_scale=pixel_scale,
            planes=None if planes is None else tuple(name.strip().upper() for name in planes.split(",")),
            seed=seed,
        )
        card = read(table, out, settings)
    print(f"{card.images} scenes of {card.galaxies_kept} galaxies in {', '.join(card.bands)}: {out}")
    print(f"Next: redden-train measure-scenes models/redden/1 --data {out}")


@app.command()
def import_particles(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="HDF5 with a group per galaxy.")],
    out: _Out,
    bands: _Bands = None,
    redshift: Annotated[
        float | None, typer.Option(min=0.01, max=19.99, help="Of all galaxies, in place of what the file says.")
    ] = None,
    line_of_sight: Annotated[
        Literal["x", "y", "z"], typer.Option(help="Axis along which the optical depths are.")
    ] = "z",
    library: Annotated[
        Literal["popstar", "bc03"], typer.Option(help="Simple stellar populations; bc03 needs the extra `sed`.")
    ] = "popstar",
    curve: Annotated[Literal["MW", "SMC", "LMC"], typer.Option(help="Extinction curve of the dust.")] = "MW",
    seed: _Seed = 0,
) -> None:
    """Make scenes of star particles that have dust in front of them, such as those of cosmological simulations.

    Every group of FILE that holds these arrays is a galaxy: coordinates (n, 3), initial_masses, log10ages (or ages),
    log10metallicities (or metallicities; the mass fraction of metals) and tau_v, the optical depth in V in front of
    each particle along the line of sight; perhaps current_masses and smoothing_lengths. Units stand in their attribute
    `Units`. The redshift is an attribute `redshift` of the group or one around it, or stands in a name: z007p000.
    """
    from training.imports.particles import ParticleImport
    from training.imports.particles import import_particles as read
    from training.simulate.settings import Spectra

    with user_errors():
        given = {"bands": tuple(bands.split(","))} if bands else {}
        spectra = Spectra(library=library, curve=curve)
        settings = ParticleImport(redshift=redshift, line_of_sight=line_of_sight, spectra=spectra, seed=seed, **given)
        card = read(file, out, settings)
    print(
        f"{card.images} scenes of as many galaxies in {', '.join(card.bands)}: {out}; "
        f"{card.images_rejected} have formed no star in the last 100 Myr."
    )
    print(f"Next: redden-train measure-scenes models/redden/1 --data {out}")


@app.command()
def observe_scenes(
    data: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Data set of noiseless scenes.")],
    out: Annotated[Path, typer.Argument(help="New directory for the data set of observed images.")],
    depth: _Depth = (28.6, 28.6),
    min_snr: Annotated[float, typer.Option(min=0, help="Least signal-to-noise ratio in every band.")] = 5.0,
    seed: _Seed = 0,
) -> None:
    """Observe each scene once: images with noise, for the models of fixed bands (fit, evaluate)."""
    from training.imports.observed import observe_scenes as observe
    from training.observe import ObservationPrior

    with user_errors():
        card = observe(data, out, prior=ObservationPrior(depth=depth), min_snr=min_snr, seed=seed)
    print(f"{card.images} images of {card.galaxies_kept} galaxies in {out}; {card.images_rejected} were too faint.")
    print(f"Next: redden-train fit paper-3band --data {out} --out runs/paper-3band")


@app.command()
def measure_scenes(
    model: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Run, or model NAME/VERSION/.")],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Data set of noiseless scenes.")],
    depth: _Depth = (28.6, 29.8),
    looks: Annotated[int, typer.Option(min=1, help="How often each scene is observed.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the observations.")] = 5,
    out: Annotated[
        Path | None, typer.Option(help="Table of all answers to write, such as answers.ecsv; an old one is replaced.")
    ] = None,
) -> None:
    """Observe all scenes of an imported data set, measure them with a model, and print the errors."""
    from training.imports.measured import measure_scenes as measure

    with user_errors():
        measured, answers = measure(model, data, depth=depth, looks=looks, seed=seed)
    print(measured.markdown())
    if out is not None:
        answers.write(out, overwrite=True)
