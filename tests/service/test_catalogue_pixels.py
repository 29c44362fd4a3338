"""Catalogues of images: archives, cubes and tables with image columns, object by object."""

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from redden.cutout import read_cutout
from redden.errors import CatalogueError
from redden.fits import read_images
from service.catalogues import CatalogueFolder, read

BANDS = ("F277W", "F356W", "F444W")


@pytest.fixture
def kept(tmp_path):
    """Read a file and open what is kept of it."""

    def kept(path, **options):
        folder = tmp_path / "kept"
        folder.mkdir()
        catalogue = read(path, **options)
        assert catalogue.ra is None
        catalogue.write(folder)
        return CatalogueFolder.open(folder)

    return kept


def names(catalogue):
    return [row for part in catalogue.read() for row in part["object"].to_pylist()]


def pack(path, files):
    """An archive of this kind with these files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    path.write_bytes(gzip.compress(stream.getvalue()) if path.suffix == ".gz" else stream.getvalue())
    return path


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_an_archive_of_band_files_gives_an_object_for_each_set(tmp_path, image, kept, suffix):
    files = {"cutouts/README.txt": b"no image", "cutouts/.hidden.fits": b"x"}
    for number in (7, 3):
        for band in BANDS:
            files[f"cutouts/gal_{number}_{band.lower()}_sci.fits"] = image(seed=number, FILTER=band)
    catalogue = kept(pack(tmp_path / f"a{suffix}", files))
    assert names(catalogue) == ["gal_7_sci", "gal_3_sci"]
    uploads = [*catalogue.uploads([1, 0])]
    assert [upload.name for upload in uploads[0]] == [f"cutouts/gal_3_{band.lower()}_sci.fits" for band in BANDS]
    cutout = read_cutout(uploads[1])
    single = read_cutout([type(upload)(None, files[upload.name]) for upload in uploads[1]])
    np.testing.assert_array_equal(cutout.pixels, single.pixels)
    assert cutout.sha256 == single.sha256


@pytest.mark.parametrize(
    ("paths", "objects"),
    [
        (["a.fits", "b.fits.gz"], ["a", "b"]),
        (["a/F277W.fits", "a/F444W.fits", "b/F277W.fits"], ["a", "b"]),
        (["F277W/1.fits", "F444W/1.fits", "F277W/2.fits"], ["1", "2"]),
        (["set/a-F277W.fit", "set/sub/a_F444W.FITS"], ["a", "sub/a"]),
        (["F277W.fits", "F444W.fits"], ["object"]),
        (["../../etc/a.fits", "/root/b.fits", "C:\\c.fits"], ["root/b", "C:\\c"]),
    ],
)
def test_objects_are_told_by_names(tmp_path, kept, paths, objects):
    assert names(kept(pack(tmp_path / "a.zip", dict.fromkeys(paths, b"x")))) == objects
    assert not [*tmp_path.glob("**/*.fits")]


def test_archives_that_cannot_be_used(tmp_path):
    def refusal(path, **options):
        with pytest.raises(CatalogueError) as refused:
            read(path, **options)
        return str(refused.value)

    assert "no FITS files" in refusal(pack(tmp_path / "a.zip", {"a.txt": b"x"}))
    assert "same galaxy and band" in refusal(pack(tmp_path / "b.tar", {"a_F277W.fits": b"x", "a.F277W.fits": b"y"}))
    many = {f"{number}.fits": bytes(2**18) for number in range(9)}
    assert "more than 2 MiB" in refusal(pack(tmp_path / "c.tar", many), max_bytes=2**21)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.fits", bytes(65 * 2**20))
    assert "65 MiB; 64 are taken" in refusal(tmp_path / "bomb.zip")
    member = tarfile.TarInfo("x" * 200)
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 10**10
    (tmp_path / "d.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT)[-512:] + bytes(1024))
    assert "tar" in refusal(tmp_path / "d.tar") or "header of" in refusal(tmp_path / "d.tar")
    whole = pack(tmp_path / "e.zip", {"a.fits": bytes(10_000)}).read_bytes()
    (tmp_path / "e.zip").write_bytes(whole[:5000] + b"damage" + whole[5006:])
    assert "zip archive cannot be read" in refusal(tmp_path / "e.zip")


def test_links_of_a_tar_lead_nowhere(tmp_path):
    secret = tmp_path / "secret.fits"
    secret.write_bytes(b"secret")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("a.fits")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    (tmp_path / "a.tar").write_bytes(stream.getvalue())
    with pytest.raises(CatalogueError, match="no FITS files"):
        read(tmp_path / "a.tar")


def cubes(number=5, size=48, **keywords):
    rng = np.random.default_rng(1)
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for band in BANDS:
        data = rng.normal(1, 1, (number, size, size)).astype(np.float32)
        hdu = fits.ImageHDU(data, name=band)
        hdu.header.update({"BUNIT": "nJy", "CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600, **keywords})
        hdu.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "INDEX"})
        hdus.append(hdu)
    return hdus


def test_cubes_give_an_object_for_each_plane(tmp_path, kept):
    hdus = cubes()
    errors = np.ones((5, 48, 48))
    errors[2, 24, 24] = np.nan
    hdus.append(fits.ImageHDU(errors, name="ERR_F277W"))
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("object", "4A", array=list("abcde"))]))
    hdus.writeto(tmp_path / "c.fits")
    catalogue = kept(tmp_path / "c.fits")
    assert names(catalogue) == list("abcde")
    for number, uploads in zip((4, 2), catalogue.uploads([4, 2]), strict=True):
        images = read_images(uploads)
        assert [image.band for image in images] == list(BANDS)
        for image, band in zip(images, BANDS, strict=True):
            expected = hdus[band].data[number].astype(float)
            if (number, band) == (2, "F277W"):
                expected[24, 24] = np.nan
            np.testing.assert_array_equal(image.data, expected)
        assert read_cutout(uploads).uncalibrated == {}


def test_cubes_that_do_not_fit_are_refused(tmp_path):
    def refusal(hdus):
        hdus.writeto(tmp_path / "c.fits", overwrite=True)
        with pytest.raises(CatalogueError) as refused:
            read(tmp_path / "c.fits")
        return str(refused.value)

    hdus = cubes()
    hdus[2] = cubes(4)[2]
    assert "F277W has 5 galaxies and cube F356W has 4" in refusal(hdus)
    table = fits.table_to_hdu(Table({"id": [1, 2, 3]}))
    assert "has 3 rows and the cubes have 5 galaxies" in refusal(fits.HDUList([*cubes(), table]))
    hdus = cubes()
    hdus[1].name = "cube"
    assert "CUBE names no band" in refusal(hdus)
    assert "/v1/predict" in refusal(fits.HDUList([fits.PrimaryHDU(np.ones((9, 9)))]))


def test_a_table_with_image_columns_gives_its_other_columns_back(tmp_path, kept):
    rng = np.random.default_rng(2)
    pixels = {band: rng.normal(size=(4, 40, 36)).astype(np.float32) for band in BANDS}
    columns = [fits.Column("object", "3A", array=list("wxyz")), fits.Column("redshift", "E", array=[1, 2, -99, 4])]
    for band, data in pixels.items():
        columns.append(fits.Column(f"img_{band}", "1440E", dim="(36,40)", unit="uJy", array=data))
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header["PIXSCALE"] = 0.03
    hdu.writeto(tmp_path / "t.fits")
    catalogue = kept(tmp_path / "t.fits")
    assert catalogue.schema.names == ["object", "redshift"]
    np.testing.assert_array_equal(read(tmp_path / "t.fits").redshift[:, 0], [1, 2, np.nan, 4])
    images = read_images(next(catalogue.uploads([3])))
    assert [image.header["BUNIT"] for image in images] == ["uJy"] * 3
    np.testing.assert_array_equal(images[1].data, pixels["F356W"][3].astype(float))
