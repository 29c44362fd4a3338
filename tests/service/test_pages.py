"""The pages for people, which need nothing from the internet."""

import re

import pytest

from service.errors import PROBLEM_TYPES


def test_the_landing_page_and_the_documentation_load_nothing_from_elsewhere(gateway):
    for path in ("/", "/docs"):
        page = gateway.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
        assert loaded
        for reference in loaded:
            assert reference.startswith("/"), reference
            assert gateway.get(reference).status_code == 200, reference


def test_the_landing_page_asks_only_for_parameters_that_there_are(gateway):
    page = gateway.get("/").text
    fields = set(re.findall(r"""<(?:input|select)[^>]* name="(\w+)\"""", page)) - {"files"}
    parameters = gateway.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]["parameters"]
    assert fields == {"model", "redshift", "redshift_error", "a_v_above", "explain"}
    assert fields <= {parameter["name"] for parameter in parameters}


def test_the_demo_galaxy_is_measured(gateway):
    galaxy = gateway.get("/demo/galaxy.fits")
    assert galaxy.headers["content-type"] == "application/fits"
    answer = gateway.post("/v1/predict", content=galaxy.content, headers={"Content-Type": "application/fits"})
    assert answer.status_code == 200
    assert answer.json()["quantities"]["a_v"]["interval_68"] is not None


@pytest.mark.parametrize("kind", PROBLEM_TYPES.values(), ids=lambda kind: kind.name)
def test_the_type_of_every_problem_can_be_looked_up(gateway, kind):
    about = gateway.get(f"/problems/{kind.name}").json()
    assert (about["title"], about["status"]) == (kind.title, kind.status)


def test_an_unknown_type_of_problem_is_a_404(gateway):
    assert gateway.get("/problems/nosuch").status_code == 404


def test_pages_of_other_origins_may_call(gateway):
    response = gateway.get("/v1/models", headers={"Origin": "https://aladin.example"})
    assert response.headers["access-control-allow-origin"] == "*"
