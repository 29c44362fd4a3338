"""What requests tell and ask besides pixels: bands, redshift, P(A_V > x); and whether the galaxy is of a known kind."""

import json

import numpy as np
import pytest

from redden.answer import Answer
from redden.client import Client
from redden.modelcard import ModelCard
from redden.photometric import photometric
from redden.posterior import quantiles
from tests.service.conftest import SEVEN, THREE, make_image

SURVEY = {"survey": "demo", "ra": 29.99903, "dec": 12.00498}


def codes(answer):
    return [flag.code for flag in answer.flags]


@pytest.fixture(scope="module")
def seven_bands():
    return {band: make_image(seed=seed, FILTER=band) for seed, band in enumerate(SEVEN)}


@pytest.fixture
def ask(post, seven_bands):
    """The answer of any-band, by default, about images in these bands."""

    def ask(*bands, model="any-band", **parameters):
        response = post(*(seven_bands[band] for band in bands), model=model, **parameters)
        assert response.status_code == 200, response.text
        return Answer.model_validate_json(response.content)

    return ask


# --- Bands -----------------------------------------------------------------------------------------------------------


def test_one_model_takes_any_bands(ask):
    medians = set()
    for bands in (("F277W",), THREE, THREE[::-1], ("F115W", "F444W"), SEVEN):
        answer = ask(*bands)
        assert answer.bands == [band for band in SEVEN if band in bands]
        assert set(answer.snr) == set(bands)
        low, high = answer.quantities.a_v.interval_68
        assert 0 < low < answer.quantities.a_v.median < high
        medians.add(answer.quantities.a_v.median)
    assert len(medians) == 4  # the order in which bands are sent does not count


def test_the_answer_is_that_of_the_saved_model(ask, models_dir, seven_bands):
    import tensorflow as tf

    from redden.cutout import read_cutout
    from redden.fits import Upload

    answer = ask("F444W", "F150W", redshift=6.5, redshift_error=0.3)
    cutout = read_cutout([Upload(None, seven_bands["F150W"]), Upload(None, seven_bands["F444W"])])
    pixels = np.full((1, 32, 32, 7), np.nan, np.float32)
    pixels[0, ..., [1, 6]] = np.moveaxis(cutout.pixels, -1, 0)
    scaled, context = photometric(pixels, np.array([[6.5, 0.3]]))
    path = models_dir / "any-band" / "1"
    found = tf.saved_model.load(path).signatures["serving_default"](
        pixels=tf.constant(scaled), context=tf.constant(context)
    )
    outputs = {name: tensor.numpy() for name, tensor in found.items()}
    card = ModelCard.read(path)
    plain = quantiles(card.model_copy(update={"levels": False}), outputs)
    for name, values in quantiles(card, outputs).items():
        assert np.all(values < plain[name])
        quantity = getattr(answer.quantities, name)
        expected = [*quantity.interval_95, *quantity.interval_68, quantity.median]
        assert values[0][[0, 4, 1, 3, 2]] == pytest.approx(expected, rel=1e-4)
    assert answer.domain_score == pytest.approx(outputs["domain"][0], rel=1e-6)


def test_bands_that_a_model_does_not_know_are_named(ask):
    answer = ask(*THREE, model="paper-1band")
    assert answer.bands == ["F277W"]
    assert codes(answer) == ["bands_ignored"]
    assert "F356W, F444W did not count" in answer.flags[0].message


def test_a_band_without_pixels_is_left_out_where_the_model_does_without(ask, post, seven_bands):
    empty = make_image(np.full((64, 64), np.nan, np.float32), FILTER="F356W")
    sent = (seven_bands["F277W"], empty, seven_bands["F444W"])
    answer = Answer.model_validate_json(post(*sent, model="any-band").content)
    assert answer.bands == ["F277W", "F444W"]
    assert codes(answer) == ["band_unusable"]
    assert answer.quantities == ask("F277W", "F444W").quantities
    refused = post(*sent, model="gaussian-3band")
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/bad-pixels")


def test_a_survey_with_some_of_the_bands_is_measured(gateway):
    answer = Answer.model_validate_json(
        gateway.get("/v1/predict", params={**SURVEY, "model": "any-band"}).raise_for_status().content
    )
    assert answer.bands == list(THREE)


# --- Redshift --------------------------------------------------------------------------------------------------------


def test_a_redshift_and_its_error_count(ask):
    without, exact, wide = (
        ask(*THREE, **told) for told in ({}, {"redshift": 7}, {"redshift": 7, "redshift_error": 1.5})
    )
    assert without.redshift is None
    assert (exact.redshift.value, exact.redshift.error) == (7, 0)
    assert (wide.redshift.value, wide.redshift.error) == (7, 1.5)
    assert len({answer.quantities.a_v.median for answer in (without, exact, wide)}) == 3
    assert ask(*THREE, redshift=7, redshift_error=0).quantities == exact.quantities


@pytest.mark.parametrize(
    ("told", "outside"),
    [
        ({"redshift": 9.0}, False),
        ({"redshift": 9.1}, True),
        ({"redshift": 0.5}, True),
        ({"redshift": 5.0, "redshift_error": 0.3}, False),
        ({"redshift": 5.0, "redshift_error": 0.25}, False),
        ({"redshift": 5.0, "redshift_error": 0.2}, True),
    ],
)
def test_a_redshift_that_no_training_galaxy_has_is_flagged(ask, told, outside):
    answer = ask(*THREE, **told)
    assert ("redshift_outside" in codes(answer)) is outside
    said = [flag.message for flag in answer.flags if flag.code == "redshift_outside"]
    assert all("redshift 5.5 to 9" in message for message in said)


def test_a_model_that_takes_no_redshift_says_so(ask):
    answer = ask(*THREE, model="gaussian-3band", redshift=7)
    assert codes(answer) == ["redshift_ignored"]
    assert answer.redshift is None
    assert answer.quantities == ask(*THREE, model="gaussian-3band").quantities


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"redshift": -0.1}, "redshift: "),
        ({"redshift": 21}, "less than or equal to 20"),
        ({"redshift": "nan"}, "finite"),
        ({"redshift": 7, "redshift_error": -1}, "redshift_error: "),
        ({"redshift_error": 0.1}, "redshift_error needs a redshift"),
        ({"a_v_above": -1}, "a_v_above: "),
        ({"a_v_above": "inf"}, "finite"),
    ],
)
def test_impossible_knowledge_is_refused(gateway, post, seven_bands, wrong, hint):
    for response in (post(seven_bands["F277W"], **wrong), gateway.get("/v1/predict", params=SURVEY | wrong)):
        assert (response.status_code, response.json()["type"]) == (422, "/problems/parameter")
        assert hint in response.json()["detail"]


def test_each_of_many_positions_has_its_own_redshift(gateway):
    place = {"ra": SURVEY["ra"], "dec": SURVEY["dec"]}
    told = [{}, {"redshift": 6}, {"redshift": 8, "redshift_error": 0.2}, {"redshift_error": 0.2}]
    asked = {"survey": "demo", "model": "any-band", "a_v_above": 1, "positions": [place | known for known in told]}
    lines = sorted(
        (json.loads(line) for line in gateway.post("/v1/predict/positions", json=asked).text.splitlines()),
        key=lambda line: line["index"],
    )
    assert "redshift_error needs a redshift" in lines[3]["problem"]["detail"]
    answers = [Answer.model_validate(line["answer"]) for line in lines[:3]]
    for known, answer in zip(told, answers, strict=False):
        alone = gateway.get("/v1/predict", params=SURVEY | known | {"model": "any-band", "a_v_above": 1})
        assert answer.model_dump(exclude={"quantities", "a_v_above"}) == Answer.model_validate_json(
            alone.content
        ).model_dump(exclude={"quantities", "a_v_above"})
    assert len({answer.a_v_above.probability for answer in answers}) == 3


# --- P(A_V > x) ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["any-band", "gaussian-3band"])
def test_the_probability_agrees_with_the_quantiles(ask, model):
    a_v = ask(*THREE, model=model).quantities.a_v
    for value, probability in ((a_v.median, 0.5), (a_v.interval_68[1], 0.16), (a_v.interval_95[0], 0.975), (0, 1)):
        asked = ask(*THREE, model=model, a_v_above=value).a_v_above
        assert asked.value == value
        assert asked.probability == pytest.approx(probability, abs=1e-4)


def test_point_estimates_have_no_probability(ask):
    answer = ask(*THREE, model="paper-3band", a_v_above=1)
    assert answer.a_v_above.probability is None
    assert codes(answer) == ["no_probability"]


# --- Domain ----------------------------------------------------------------------------------------------------------


def test_a_galaxy_of_another_kind_is_flagged_first(ask):
    known, strange = ask(*THREE), ask(*SEVEN)
    assert (known.in_domain, known.domain_score, known.flags) == (True, pytest.approx(3), [])
    assert (strange.in_domain, strange.domain_score) == (False, pytest.approx(7))
    assert codes(strange)[0] == "out_of_domain"
    assert "domain score is 7, and only 1 % of them are above 5.5" in strange.flags[0].message


def test_a_model_without_a_score_says_nothing(ask):
    answer = ask(*THREE, model="gaussian-3band")
    assert (answer.in_domain, answer.domain_score) == (None, None)


# --- The client ------------------------------------------------------------------------------------------------------


def test_the_client_tells_and_asks_the_same(gateway, tmp_path, seven_bands):
    path = tmp_path / "F444W.fits"
    path.write_bytes(seven_bands["F444W"])
    known = {"model": "any-band", "redshift": 6.5, "redshift_error": 0.1, "a_v_above": 0.5}
    with Client(str(gateway.base_url)) as client:
        from_file = client.predict([path], **known)
        from_survey = client.predict_position("demo", SURVEY["ra"], SURVEY["dec"], **known)
    for answer in (from_file, from_survey):
        assert (answer.redshift.value, answer.redshift.error) == (6.5, 0.1)
        assert 0 < answer.a_v_above.probability < 1
