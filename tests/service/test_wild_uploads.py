"""Damaged files: whatever is sent, the answer is a measurement or a problem of the sender's, never a 500."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from redden.answer import Answer

# The same examples every time, and no shrinking, which takes minutes.
WILD = settings(deadline=None, max_examples=60, derandomize=True, phases=[Phase.generate])
DAMAGE = st.lists(st.tuples(st.integers(0, 2879), st.integers(0, 255)), min_size=1, max_size=8)
WORDS = st.sampled_from(
    [b"NAN", b"-1", b"0", b"1E400", b"99999999999999999999", b"''", b"T", b"", b"(1,2)", b"\xff", b"'abc'"]
)
KEYS = st.sampled_from(
    [
        "SIMPLE",
        "BITPIX",
        "NAXIS",
        "NAXIS1",
        "NAXIS2",
        "BUNIT",
        "FILTER",
        "CDELT1",
        "CTYPE1",
        "CRVAL2",
        "CRPIX1",
        "PHOTMJSR",
        "EXPTIME",
        "ZEROPNT",
        "PIXSCALE",
    ]
)
COUNTS = {"BUNIT": "DN", "PHOTMJSR": 0.4, "EXPTIME": 1000.0}
NO_WCS = dict.fromkeys(("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2"))
NEEDED = {
    "PHOTMJSR": COUNTS,
    "EXPTIME": COUNTS,
    "ZEROPNT": {"BUNIT": "DN", "ZEROPNT": 28.9},
    "PIXSCALE": {**NO_WCS, "PIXSCALE": 0.03},
}
"""What a header must have for a keyword to be read."""


def assert_answered(response):
    assert response.status_code in (200, 400, 404, 413, 415, 422), response.text
    if response.status_code == 200:
        Answer.model_validate_json(response.content)
    else:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"]


@WILD
@given(damage=DAMAGE)
def test_bytes_of_the_header_are_changed(post, image, damage):
    data = bytearray(image())
    for place, value in damage:
        data[place] = value
    assert_answered(post(bytes(data), model="paper-1band"))


@WILD
@given(key=KEYS, word=WORDS)
def test_a_value_of_the_header_is_nonsense(post, image, key, word):
    data = image(**NEEDED.get(key, {}))
    start = next(place for place in range(0, 2880, 80) if data[place : place + 8] == key.ljust(8).encode())
    card = f"{key:8}= ".encode() + word.rjust(20)
    assert_answered(post(data[:start] + card.ljust(80) + data[start + 80 :], model="paper-1band"))


@WILD
@given(length=st.integers(0, 20_000))
def test_the_file_ends_anywhere(post, image, length):
    assert_answered(post(image()[:length], model="paper-1band"))


@WILD
@given(
    parameters=st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(st.text(max_size=20), st.floats(), st.integers())
            for name in ("model", "version", "bands", "unit", "pixel_scale", "ra", "dec")
        },
    )
)
def test_parameters_are_anything(post, image, parameters):
    assert_answered(post(image(), **parameters))
