"""Catalogues in the formats of the field: what comes in is what the reader gives, and what is wrong is said."""

import gzip
import sys
from io import BytesIO

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from redden.errors import CatalogueError
from service.catalogues import CatalogueFolder, read
from service.catalogues.schema import field_meta, field_text, table_meta


@pytest.fixture
def table():
    """A table with a column of each kind, and metadata."""
    table = Table(
        {
            "ID": np.array([10, 2**40, 3]),
            "RA_ICRS": [53.1, 53.2, np.nan],
            "DE_ICRS": [-27.1, -27.2, -27.3],
            "name": ["a", "b, c", 'd "e"'],
            "n": MaskedColumn([1, 2, 3], mask=[False, True, False], dtype=np.int16),
            "good": [True, False, True],
            "mag": np.array([24.5, np.inf, 1e-30], dtype=np.float32),
        },
        meta={"description": "three galaxies"},
    )
    table["RA_ICRS"].unit = table["DE_ICRS"].unit = "deg"
    table["RA_ICRS"].meta["ucd"], table["DE_ICRS"].meta["ucd"] = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    table["mag"].unit, table["mag"].description = "mag", "AB magnitude in an aperture, a long text " * 3
    return table


def save(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path, **options):
    with pytest.raises(CatalogueError) as refused:
        read(path, **options)
    return str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"format": "csv"},
        {"format": "ascii.ecsv"},
        {"format": "votable"},
        {"format": "votable", "tabledata_format": "binary"},
        {"format": "votable", "tabledata_format": "binary2"},
        {"format": "fits"},
        {"format": "parquet"},
    ],
    ids=lambda options: "-".join(options.values()),
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_gives_the_same_rows(table, tmp_path, options, zipped):
    path = tmp_path / "catalogue"
    table["mag"].description = table["mag"].description.strip()
    if options["format"] == "votable":
        table["n"].meta["values"] = {"null": "-9"}
    table.write(path, **options)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    catalogue = read(path, name="catalogue")
    assert catalogue.table.column_names == table.colnames
    np.testing.assert_array_equal(catalogue.ra, table["RA_ICRS"])
    np.testing.assert_array_equal(catalogue.dec, table["DE_ICRS"])
    assert catalogue.table["ID"].to_pylist() == [10, 2**40, 3]
    assert catalogue.table["name"].to_pylist() == list(table["name"])
    assert catalogue.table["n"].to_pylist() == [1, None, 3]
    assert [str(value) for value in catalogue.table["good"].to_pylist()] == ["True", "False", "True"]
    np.testing.assert_array_equal(np.float32(catalogue.table["mag"].to_pylist()), table["mag"])
    if options["format"] != "csv":
        field = catalogue.table.schema.field("mag")
        assert (field_text(field, "unit"), field_text(field, "description")) == ("mag", table["mag"].description)
        assert field_meta(catalogue.table.schema.field("RA_ICRS"))["ucd"] == "pos.eq.ra;meta.main"
        assert table_meta(catalogue.table.schema)["description"] == "three galaxies"


def test_a_catalogue_is_kept_and_opened_again_in_parts(table, tmp_path):
    table.write(tmp_path / "in.fits")
    catalogue = read(tmp_path / "in.fits")
    catalogue.write(tmp_path)
    kept = CatalogueFolder.open(tmp_path)
    assert (kept.rows, kept.schema) == (3, catalogue.table.schema)
    assert kept.schema.equals(catalogue.table.schema, check_metadata=True)
    parts = [*kept.read(1, 3)]
    assert pa.concat_tables(parts)["ID"].to_pylist() == [2**40, 3]


def test_rows_of_a_kept_catalogue_come_from_several_row_groups(tmp_path):
    number = 40_000
    path = save(tmp_path / "t.csv", "ra,dec\n" + "".join(f"{row % 360},0\n" for row in range(number)))
    read(path).write(tmp_path)
    kept = CatalogueFolder.open(tmp_path)
    found = pa.concat_tables(kept.read(16_000, 33_000))["ra"].to_numpy()
    np.testing.assert_array_equal(found, np.arange(16_000, 33_000) % 360)
    assert sum(part.num_rows for part in kept.read()) == number


@pytest.mark.parametrize(
    "text",
    [
        "ra,dec,id\n1.5,2,007\n3,4,008\n",
        "ra\tdec\tid\n1.5\t2\t007\n3\t4\t008\n",
        "ra;dec;id\n1.5;2;007\n3;4;008\n",
        "ra|dec|id\r\n1.5|2|007\r\n3|4|008\r\n",
        "\ufeffra,dec,id\n1.5,2,007\n3,4,008\n",
        "# a comment, with commas\n\nra,dec,id\n1.5,2,007\n# another\n3,4,008\n# the, last, one\n",
        "# made by somebody\n# ra,dec,id\n1.5,2,007\n3,4,008\n",
        "ra, dec, id\n1.5, 2,007\n3, 4,008\n",
    ],
)
def test_csv_in_its_many_forms(tmp_path, text):
    catalogue = read(save(tmp_path / "t.csv", text))
    assert catalogue.ra.tolist() == [1.5, 3]
    assert catalogue.dec.tolist() == [2, 4]
    assert catalogue.table["id"].to_pylist() == ["007", "008"]


@pytest.mark.parametrize(
    "text",
    [
        "ra dec name\n1.5 2 a\n3 4 b\n",
        "# ra  dec  name\n1.5  2  a\n3  4  b\n",
        "# 1 ra right ascension [deg]\n# 2 dec declination [deg]\n# 3 name\n1.5 2 a\n3 4 b\n",
    ],
)
def test_columns_between_spaces(tmp_path, text):
    catalogue = read(save(tmp_path / "t.txt", text))
    assert (catalogue.ra.tolist(), catalogue.dec.tolist()) == ([1.5, 3], [2, 4])
    assert catalogue.table["name"].to_pylist() == ["a", "b"]


def test_text_of_csv_stays_as_it_is(tmp_path):
    text = 'ra,dec,date,big,name,empty,flag\n1,2,2020-01-01,99999999999999999999,"x\ny",,true\n1,2,x,1,Zoë,,false\n'
    table = read(save(tmp_path / "t.csv", text)).table
    assert table["date"].to_pylist() == ["2020-01-01", "x"]
    assert table["big"].to_pylist() == ["99999999999999999999", "1"]
    assert table["name"].to_pylist() == ["x\ny", "Zoë"]
    assert table["empty"].to_pylist() == [None, None]
    assert table["flag"].to_pylist() == [True, False]
    assert read(save(tmp_path / "l.csv", text.encode("latin-1"))).table["name"].to_pylist()[1] == "Zoë"


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("ra", "dec"),
        ("RA", "Dec"),
        ("RA_ICRS", "DE_ICRS"),
        ("_RAJ2000", "_DEJ2000"),
        ("ALPHA_J2000", "DELTA_J2000"),
        ("RAdeg", "DEdeg"),
        ("alpha", "delta"),
        ("coord.ra", "coord.dec"),
        ("right ascension", "declination"),
    ],
)
def test_positions_are_found_by_the_usual_names(tmp_path, ra, dec):
    catalogue = read(save(tmp_path / "t.csv", f"id,{dec},{ra}\n1,2,3\n"))
    assert (catalogue.columns.ra, catalogue.columns.dec) == (ra, dec)
    assert (catalogue.ra.tolist(), catalogue.dec.tolist()) == ([3], [2])


def test_a_ucd_counts_more_than_a_name_and_the_main_one_most(tmp_path):
    table = Table({name: [float(value)] for value, name in enumerate(("ra", "dec", "a", "b", "c", "d"))})
    for name, ucd in {"a": "pos.eq.ra", "b": "pos.eq.dec", "c": "POS_EQ_RA_MAIN", "d": "pos.eq.dec;meta.main"}.items():
        table[name].meta["ucd"] = ucd
    table.write(tmp_path / "t.ecsv")
    assert read(tmp_path / "t.ecsv").columns.ra == "c"
    table["c"].meta["ucd"] = "pos.eq.ra;stat.error"
    table.write(tmp_path / "t.ecsv", overwrite=True)
    assert read(tmp_path / "t.ecsv").columns.ra == "a"
    assert read(tmp_path / "t.ecsv", ra="d", dec="ra").ra.tolist() == [5]


def test_units_of_positions_are_minded(tmp_path):
    table = Table({"ra": [1.0], "dec": [0.5]})
    for unit, factor in (("rad", np.degrees(1)), ("hourangle", 15), ("h", 15), ("arcsec", 1 / 3600)):
        table["ra"].unit = unit
        table.write(tmp_path / "t.ecsv", overwrite=True)
        np.testing.assert_allclose(read(tmp_path / "t.ecsv").ra, factor)
    table["ra"].unit = "mag"
    table.write(tmp_path / "t.ecsv", overwrite=True)
    assert "'mag', which is no angle" in refusal(tmp_path / "t.ecsv")


@settings(max_examples=40)
@given(st.floats(0, 359.99), st.floats(-89.99, 89.99), st.sampled_from([" ", ":", "hms"]), st.integers(0, 6))
def test_sexagesimal_positions_agree_with_astropy(tmp_path_factory, ra, dec, separator, precision):
    style = {"sep": separator, "precision": precision}
    texts = [
        Angle(ra, u.deg).to_string(u.hourangle, **style),
        Angle(dec, u.deg).to_string(u.deg, alwayssign=True, **style | ({"sep": "dms"} if separator == "hms" else {})),
    ]
    expected = Angle(texts[0], u.hourangle).deg, Angle(texts[1], u.deg).deg
    path = save(tmp_path_factory.mktemp("sky") / "t.csv", "ra,dec\n" + ",".join(texts) + "\n")
    if expected[0] >= 360:
        expected = (360.0, expected[1])
    catalogue = read(path)
    np.testing.assert_allclose((catalogue.ra[0], catalogue.dec[0]), expected, rtol=0, atol=1e-9)


def test_rows_without_a_position_are_kept(tmp_path):
    catalogue = read(save(tmp_path / "t.csv", "id,ra,dec\n1,,\n2,nan,3\n3,--,null\n4,5,6\n5,inf,1\n"))
    assert catalogue.ra[3] == 5
    assert np.isnan(catalogue.ra[[0, 1, 2, 4]]).all()
    assert len(catalogue) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ra,dec\n1,2\n400,3\n500,4\n", ["row 2", "'ra'", "400", "between 0 and 360", "1 more row"]),
        ("ra,dec\n1,2\n4,-91\n", ["row 2", "'dec'", "-91"]),
        ("ra,dec\n1,2\nx,3\n", ["row 2", "'ra'", "'x'", "01:59:59"]),
        ("ra,dec\n12:61:00,3\n", ["row 1", "'ra'", "12:61:00"]),
        ("ra,dec\n1,2\n3,4,5\n", ["row 2", "3 values for 2 columns"]),
        ("ra,dec\n1,2\n# c\n3\n", ["row 2", "1 values for 2 columns"]),
        ("ra,ra\n1,2\n", ["two columns", "'ra'"]),
        ("x,y\n1,2\n", ["pos.eq.ra", "x, y"]),
        ("ra,dec\n", ["no rows"]),
        ("# only a comment\n", ["no rows"]),
        ("", ["is empty", "CSV"]),
        ("{}", ["formats that are read"]),
        ("<VOTABLE><RESOURCE>", ["broken XML"]),
        ("<VOTABLE></VOTABLE>", ["VOTable"]),
        ("# %ECSV 1.0\n# ---\n# {\n", ["ECSV"]),
        ("SIMPLE  = nonsense", ["FITS"]),
        ("PAR1 nonsense", ["Parquet"]),
        (b"\x1f\x8bnonsense", ["gzip"]),
        (b"PK\x03\x04nonsense", ["zip"]),
        (b"abc\x00\x01", ["formats that are read"]),
    ],
)
def test_what_is_wrong_is_said_with_row_and_column(tmp_path, text, words):
    message = refusal(save(tmp_path / "t", text))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ra": "RAA", "dec": "dec"}, ["'RAA'", "Did you mean 'ra'"]),
        ({"ra": "ra"}, ["`dec` does not"]),
        ({"keep": ["idd"]}, ["'idd'", "Did you mean 'id'"]),
        ({"redshift": "q"}, ["'q'"]),
        ({"redshift_error": "ra"}, ["`redshift` does not"]),
        ({"redshift": "name"}, ["row 1", "'name'", "'x'", "no number"]),
    ],
)
def test_wrong_columns_are_named(tmp_path, options, words):
    message = refusal(save(tmp_path / "t.csv", "id,ra,dec,name\n1,2,3,x\n"), **options)
    for word in words:
        assert word in message


def test_a_redshift_of_71_is_a_slip(tmp_path):
    message = refusal(save(tmp_path / "t.csv", "ra,dec,redshift\n1,2,7.1\n1,2,71\n"))
    assert "row 2, column 'redshift': 71" in message
    assert "blank" in message


def test_columns_are_kept_in_the_order_of_the_file(tmp_path):
    path = save(tmp_path / "t.csv", "id,ra,dec,m\n1,2,3,4\n")
    assert read(path, keep=["m", "id"]).table.column_names == ["id", "m"]
    assert read(path, keep=[]).table.num_rows == 1


def test_redshifts_are_found_and_what_stands_for_unknown_is_unknown(tmp_path):
    path = save(tmp_path / "t.csv", "ra,dec,redshift,redshift_err,z_b\n1,2,3.5,.1,9\n1,2,-99,.1,9\n1,2,,-1,9\n")
    np.testing.assert_array_equal(read(path).redshift, [[3.5, 0.1], [np.nan, 0.1], [np.nan, np.nan]])
    np.testing.assert_array_equal(read(path, redshift="z_b").redshift, [[9, 0]] * 3)
    assert read(save(path, "ra,dec,z\n1,2,22.5\n")).redshift is None


def test_times_and_arrays_of_ecsv_and_fits(tmp_path):
    table = Table({"ra": [1.0, 2.0], "dec": [3.0, 4.0], "flux": np.ones((2, 3), np.float32), "c": [1 + 2j, 3j]})
    table["t"] = Time([55_000.5, 55_001], format="mjd")
    table.write(tmp_path / "t.ecsv")
    del table["t"]
    table.write(tmp_path / "t.fits")
    found = read(tmp_path / "t.ecsv").table
    assert found["flux"].to_pylist() == [[1, 1, 1]] * 2
    assert {"t.jd1", "t.jd2"} < set(found.column_names)
    found = read(tmp_path / "t.fits").table
    assert found["flux"].to_pylist() == [[1, 1, 1]] * 2
    assert found["c"].to_pylist() == [[1, 2], [0, 3]]


def test_fits_columns_of_every_kind(tmp_path):
    columns = [
        fits.Column("ra", "E", unit="deg", array=[1, 2]),
        fits.Column("dec", "D", array=[1, 2]),
        fits.Column("u", "I", bzero=2**15, null=-(2**15), array=np.array([0, 60_000], np.uint16)),
        fits.Column("i", "J", null=-9, array=[5, -9]),
        fits.Column("list", "PJ()", array=np.array([np.array([1, 2]), np.array([], int)], dtype=object)),
        fits.Column("text", "5A", array=["a", "bcd"]),
    ]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header["TUCD1"], hdu.header["TCOMM2"], hdu.header["ORIGIN"] = "pos.eq.ra;meta.main", "declination", "tests"
    hdu.header["TDISP2"] = "F10.5"
    hdu.writeto(tmp_path / "t.fits")
    table = read(tmp_path / "t.fits").table
    assert table["u"].to_pylist() == [None, 60_000]
    assert table["i"].to_pylist() == [5, None]
    assert table["list"].to_pylist() == [[1, 2], []]
    assert table["text"].to_pylist() == ["a", "bcd"]
    assert field_meta(table.schema.field("ra")) == {"ucd": "pos.eq.ra;meta.main"}
    assert field_meta(table.schema.field("dec")) == {"fits": {"TDISP": "F10.5"}}
    assert field_text(table.schema.field("dec"), "description") == "declination"
    assert table_meta(table.schema) == {"ORIGIN": "tests"}


def test_what_a_votable_says_beside_its_columns(tmp_path):
    text = """<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
    <COOSYS ID="sys" system="ICRS"/><INFO name="QUERY" value="SELECT"/>
    <TABLE name="deep"><DESCRIPTION>a survey</DESCRIPTION>
    <PARAM name="epoch" datatype="double" value="2022.5" unit="yr"/>
    <FIELD name="ra" datatype="double" unit="deg" ref="sys" ucd="pos.eq.ra"/>
    <FIELD name="dec" datatype="double" ucd="pos.eq.dec"/>
    <DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD></TR><TR><TD/><TD/></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
    catalogue = read(save(tmp_path / "t.vot", text))
    assert np.isnan(catalogue.ra[1])
    meta = table_meta(catalogue.table.schema)
    assert (meta["name"], meta["description"]) == ("deep", "a survey")
    assert meta["infos"][0]["value"] == "SELECT"
    assert (meta["params"][0]["value"], meta["params"][0]["unit"]) == (2022.5, "yr")
    assert meta["coosys"] == [{"ID": "sys", "system": "ICRS"}]
    assert meta["refs"] == {"ra": "sys"}


def test_another_frame_is_refused(tmp_path):
    text = """<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
    <COOSYS ID="old" system="eq_FK4" equinox="B1950"/><TABLE>
    <FIELD name="ra" datatype="double" ref="old"/><FIELD name="dec" datatype="double" ref="old"/>
    <DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
    assert "frame eq_FK4. Convert the positions to ICRS" in refusal(save(tmp_path / "t.vot", text))
    assert read(save(tmp_path / "t.vot", text.replace("eq_FK4", "eq_FK5"))).ra.tolist() == [1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_nothing_is_fetched_that_a_votable_refers_to(tmp_path, encoding):
    secret = save(tmp_path / "secret", "x")
    text = f"""<?xml version="1.0" encoding="{encoding}"?><VOTABLE version="1.4"><RESOURCE><TABLE>
    <FIELD name="ra" datatype="double"/><FIELD name="dec" datatype="double"/>
    <DATA><BINARY><STREAM href="file://{secret}"/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>"""
    assert "STREAM href" in refusal(save(tmp_path / "t.vot", text.encode(encoding)))


def test_entities_that_unfold_without_end_are_refused(tmp_path):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "{"x" * 100}">{entities}]><VOTABLE>&e11;</VOTABLE>'
    assert "broken XML" in refusal(save(tmp_path / "t.vot", text))


def test_a_gzipped_file_may_not_unfold_without_end(tmp_path, monkeypatch):
    path = save(tmp_path / "t.csv.gz", gzip.compress(b"ra,dec\n" + b"1,2\n" * 1_000_000))
    assert "unzips to more than 1 MiB" in refusal(path, max_bytes=2**20)
    assert len(read(path)) == 1_000_000
    assert "formats" in refusal(save(path, gzip.compress(gzip.compress(b"ra,dec\n1,2\n"))))
    monkeypatch.setattr(sys.modules["service.catalogues.read"], "MAX_TABLE", 2**20)
    assert "fewer columns" in refusal(save(path, gzip.compress(b"ra,dec\n" + b"1,2\n" * 1_000_000)))


def test_a_parquet_file_may_not_unfold_without_end(tmp_path):
    schema = pa.schema([("ra", pa.int8())])
    with pq.ParquetWriter(tmp_path / "t", schema, compression="zstd") as writer:
        group = pa.table({"ra": np.zeros(60_000_000, np.int8)})
        for _ in range(9):
            writer.write_table(group)
    assert (tmp_path / "t").stat().st_size < 3 * 10**6
    assert "540,000,000 values" in refusal(tmp_path / "t")


@pytest.mark.parametrize("kind", ["text", "list", "struct"])
def test_a_text_that_a_parquet_file_repeats_is_counted_each_time(tmp_path, kind):
    texts = pa.DictionaryArray.from_arrays(np.zeros(5000, np.int32), ["x" * 2**20])
    column = {
        "text": texts,
        "list": pa.ListArray.from_arrays(np.arange(5001, dtype=np.int32), texts),
        "struct": pa.StructArray.from_arrays([texts], ["inside"]),
    }[kind]
    table = pa.table({"ra": np.zeros(5000), "dec": np.zeros(5000), "note": column})
    pq.write_table(table, tmp_path / "t", compression="zstd")
    assert (tmp_path / "t").stat().st_size < 10**6
    assert "more than 256 MiB" in refusal(tmp_path / "t")


def test_parquet_keeps_its_types_and_metadata(tmp_path):
    table = pa.table(
        {"ra": [1.0], "dec": [2.0], "tags": [["a"]], "when": pa.array([0], pa.timestamp("us")), "d": [b"x"]},
        metadata={"pandas": "{}"},
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet").table
    assert found.to_pylist() == table.to_pylist()
    assert found.schema.metadata == {b"pandas": b"{}"}


@settings(max_examples=30)
@given(st.binary(max_size=300), st.sampled_from(["fits", "votable", "ascii.ecsv", "csv", "parquet"]), st.integers(0))
def test_wild_bytes_are_read_or_refused_in_our_words(tmp_path_factory, garbage, format, place):
    stream = BytesIO()
    table = Table({"ra": [1.0, 2.0], "dec": [3.0, 4.0], "name": ["a", "b"]})
    path = tmp_path_factory.mktemp("wild") / "t"
    table.write(path, format=format)
    stream = bytearray(path.read_bytes())
    start = place % len(stream)
    stream[start : start + len(garbage)] = garbage
    path.write_bytes(stream)
    try:
        catalogue = read(path)
    except CatalogueError as refused:
        assert str(refused)
    else:
        assert len(catalogue) == len(catalogue.ra)
