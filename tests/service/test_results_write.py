"""Results in all formats: the same values everywhere, and the metadata of the catalogue."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bulk.columns import Column
from service.catalogues import FORMATS, read, results_schema, write_results
from service.catalogues.schema import field_meta, field_text, make_field, table_meta, with_meta

RESULTS = (
    Column("a_v", pa.float32(), "mag", "phys.absorption", "Attenuation, in more words than a line has " * 2 + "."),
    Column("log_ssfr", pa.float32(), "dex(1 / yr)", "phys.SFR", "log10 of the sSFR"),
    Column("in_domain", pa.bool_(), "", "meta.code.qual", "Like the training"),
    Column("status", pa.string(), "", "meta.code.status", "ok, or why not"),
)


@pytest.fixture
def schema():
    fields = [
        make_field("ra", pa.float64(), unit="deg", description="where", meta={"ucd": "pos.eq.ra;meta.main"}),
        make_field("dec", pa.float64(), unit="deg", meta={"ucd": "pos.eq.dec;meta.main"}),
        make_field("ID", pa.int64()),
        make_field("name", pa.string()),
        make_field("flux", pa.list_(pa.float32(), 2), unit="nJy"),
        make_field("A_V", pa.float64(), description="an older one"),
    ]
    meta = {"ORIGIN": "tests", "description": "some galaxies", "nested": {"a": [1, 2]}}
    return results_schema(with_meta(pa.schema(fields), meta), RESULTS)


@pytest.fixture
def parts(schema):
    columns = [
        [1.25, 1e-7, 300.1],
        [2.0, -3.5, 1 / 3],
        [1, None, 2**53 + 1],
        ["a", 'b "q", <&> é', "c"],
        [[1.5, 2.5], [0.1, -1e10], [3.0, 4.0]],
        [0.5, None, 1.5],
        [0.1, None, 2.5],
        [-8.5, None, -9.25],
        [True, None, False],
        ["ok", "there is no data here.", "pending"],
    ]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
    table = pa.Table.from_arrays(arrays, names=[str(number) for number in range(len(arrays))])
    return [table.slice(0, 1), table.slice(1, 2)]


def written(format, schema, parts):
    return b"".join(write_results(format, schema, parts))


def test_a_name_that_is_taken_gets_a_prefix(schema):
    assert schema.names[-4:] == ["redden_a_v", "log_ssfr", "in_domain", "status"]
    again = results_schema(schema, RESULTS)
    assert again.names[-4:] == ["redden_redden_a_v", "redden_log_ssfr", "redden_in_domain", "redden_status"]


def test_a_median_keeps_the_name_of_its_interval():
    columns = [Column(name, pa.float32(), "", "", "", "a_v") for name in ("a_v_lower_68", "a_v", "a_v_upper_68")]
    catalogue = pa.schema([make_field("A_V", pa.float64()), make_field("redden_a_v_upper_68", pa.float64())])
    found = results_schema(catalogue, [*columns, RESULTS[-1]]).names[2:]
    assert found == ["redden_redden_a_v_lower_68", "redden_redden_a_v", "redden_redden_a_v_upper_68", "status"]


@pytest.mark.parametrize("format", ["parquet", "csv", "ecsv", "votable", "fits"])
def test_what_is_written_is_read_with_the_same_values_and_metadata(tmp_path, schema, parts, format):
    path = tmp_path / "results"
    path.write_bytes(written(format, schema, parts))
    found = read(path).table
    assert found.column_names == schema.names
    expected = pa.concat_tables(parts).rename_columns(schema.names).to_pylist()
    for row, wanted in zip(found.to_pylist(), expected, strict=True):
        for name, value in wanted.items():
            told = row[name]
            if format == "fits":
                value = np.nan if value is None and name in ("A_V", "redden_a_v", "log_ssfr") else value
                value = value.replace("é", "\\xe9") if isinstance(value, str) else value
            if format == "csv" and name == "flux":
                told = json.loads(told)
            kind = np.float32 if name in ("flux", "redden_a_v", "log_ssfr") else np.float64
            if told is None or isinstance(told, str):
                assert told == value
            else:
                np.testing.assert_equal(kind(told), kind(value))
    if format == "csv":
        return
    for field in schema:
        other = found.schema.field(field.name)
        assert other.type == field.type
        if format == "fits" and field.name == "log_ssfr":
            assert "in dex(1 / yr)" in field_text(other, "description")
        else:
            assert field_text(other, "unit") == field_text(field, "unit")
            assert field_text(other, "description") == field_text(field, "description")
        assert field_meta(other).get("ucd") == field_meta(field).get("ucd")
    assert table_meta(found.schema)["description"] == "some galaxies"
    if format != "votable":  # which has no place for it
        assert table_meta(found.schema) == table_meta(schema)


def test_lines_of_json_are_json(schema, parts):
    rows = [json.loads(line) for line in written("jsonl", schema, parts).splitlines()]
    assert rows[1] == {
        **{"ra": 1e-7, "dec": -3.5, "ID": None, "name": 'b "q", <&> é', "flux": [0.1, -1e10], "A_V": None},
        **{"redden_a_v": None, "log_ssfr": None, "in_domain": None, "status": "there is no data here."},
    } | {"flux": [pytest.approx(0.1), -1e10]}
    assert (rows[2]["ID"], rows[2]["in_domain"]) == (2**53 + 1, False)


def test_astropy_reads_the_tables(tmp_path, schema, parts):
    for format, options in (("fits", {}), ("votable", {}), ("ecsv", {"format": "ascii.ecsv"})):
        path = tmp_path / f"t{FORMATS[format].extension}"
        path.write_bytes(written(format, schema, parts))
        table = Table.read(path, **options)
        assert table.colnames == schema.names
        assert table["ra"].unit == "deg"
        assert table["redden_a_v"].description.split() == RESULTS[0].description.split()
        np.testing.assert_array_equal(np.ma.filled(table["redden_a_v"], np.nan), np.float32([0.1, np.nan, 2.5]))
        units = {"fits": "None", "votable": "[yr-1]", "ecsv": "dex(1 / yr)"}
        assert str(table["log_ssfr"].unit) == units[format]
        assert table["log_ssfr"].description.endswith("in dex(1 / yr)") == (format == "fits")
    assert table["redden_a_v"].meta["ucd"] == "phys.absorption"
    assert str(table["log_ssfr"].unit) == "dex(1 / yr)"


def test_the_files_keep_the_standards(schema, parts):
    document = written("votable", schema, parts)
    assert votable.validate(io.BytesIO(document), output=None) is not None
    assert b'unit="[yr-1]"' in document
    content = written("fits", schema, parts)
    assert len(content) % 2880 == 0
    with fits.open(io.BytesIO(content)) as hdus:
        hdus.verify("exception")
        assert hdus[1].header["NAXIS2"] == 3
        assert hdus[1].header["TUCD1"] == "pos.eq.ra;meta.main"


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows_make_a_table_without_rows(tmp_path, schema, format):
    path = tmp_path / "t"
    schema = schema.remove(schema.get_field_index("flux"))  # which astropy cannot read from ECSV without rows
    path.write_bytes(written(format, schema, []))
    if format == "jsonl":
        assert path.read_bytes() == b""
    else:
        reader = {"csv": "csv", "ecsv": "ascii.ecsv", "votable": "votable", "fits": "fits", "parquet": None}[format]
        assert reader is None or len(Table.read(path, format=reader)) == 0


def test_a_votable_comes_back_with_all_it_said(tmp_path):
    text = b"""<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>
    <COOSYS ID="sys" system="ICRS"/><INFO name="QUERY" value="SELECT"/>
    <TABLE name="deep"><DESCRIPTION>a survey</DESCRIPTION>
    <PARAM name="epoch" datatype="double" value="2022.5" unit="yr"/>
    <FIELD name="ra" datatype="double" unit="deg" ref="sys" ucd="pos.eq.ra"/>
    <FIELD name="dec" datatype="double" ucd="pos.eq.dec" utype="x:y"/>
    <DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
    (tmp_path / "in").write_bytes(text)
    first = read(tmp_path / "in").table
    for format in ("votable", "parquet", "ecsv", "fits"):
        (tmp_path / "out").write_bytes(written(format, first.schema, [first]))
        again = read(tmp_path / "out").table
        assert table_meta(again.schema) == table_meta(first.schema), format
        assert field_meta(again.schema.field("dec"))["utype"] == "x:y"


NUMBERS = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.uint8(): st.integers(0, 2**8 - 2),
    pa.uint16(): st.integers(0, 2**16 - 1).filter(lambda n: n != 2**16 - 1),
    pa.int32(): st.integers(1 - 2**31, 2**31 - 1),
    pa.uint32(): st.integers(0, 2**32 - 2),
    pa.int64(): st.integers(1 - 2**63, 2**63 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
}


@settings(max_examples=40)
@given(st.data(), st.sampled_from([*NUMBERS]), st.sampled_from(["parquet", "csv", "ecsv", "votable", "fits"]))
def test_numbers_of_every_kind_survive_every_format(tmp_path_factory, data, kind, format):
    rows = data.draw(st.lists(NUMBERS[kind], min_size=1, max_size=5))
    schema = pa.schema([("ra", pa.float64()), ("dec", pa.float64()), ("x", kind)])
    table = pa.table([[1.0] * len(rows), [2.0] * len(rows), pa.array(rows, kind)], schema=schema)
    path = tmp_path_factory.mktemp("numbers") / "t"
    path.write_bytes(written(format, schema, [table]))
    precision = np.float32 if kind == pa.float32() else float
    assert [precision(value) for value in read(path).table["x"].to_pylist()] == [precision(value) for value in rows]


WORDS = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=80)
METAS = st.dictionaries(
    st.sampled_from(["ucd", "values", "links", "fits", "width", "infos", "params", "coosys", "refs", "HISTORY"]),
    st.one_of(WORDS, st.just(1.5), st.lists(st.dictionaries(WORDS, WORDS, max_size=1), max_size=1)),
    max_size=3,
)


@settings(max_examples=12)
@given(WORDS, WORDS, METAS, METAS, st.sampled_from([*FORMATS]))
def test_wild_metadata_never_stands_in_the_way(tmp_path_factory, name, text, of_column, of_table, format):
    fields = [make_field("ra", pa.float64()), make_field("dec", pa.float64())]
    fields.append(make_field(f"x{name}x", pa.string(), unit=text, description=text, meta=of_column))
    schema = with_meta(pa.schema(fields), of_table)
    path = tmp_path_factory.mktemp("metadata") / "t"
    path.write_bytes(written(format, schema, [pa.table([[1.0], [2.0], ["a"]], schema=schema)]))
    if format == "jsonl":
        assert json.loads(path.read_bytes())[f"x{name}x"] == "a"
    else:
        assert read(path).ra.tolist() == [1]
