"""A job of ``redden serve`` survives Ctrl-C and goes on at the next start."""

import signal
from collections.abc import Callable
from io import BytesIO
from time import monotonic, sleep
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from service.surveys.definition import DEMO_DIR

ROWS = 2_000
PATIENCE = 240


def test_a_job_survives_ctrl_c(serve_again: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDDEN_CHUNK_ROWS", "250")
    demo = Table.read(DEMO_DIR / "catalogue.ecsv")
    galaxies = [f"{number},{row['ra']},{row['dec']}" for number, row in enumerate(demo)]
    content = "\n".join(["id,ra,dec", *(galaxies[number % len(demo)] for number in range(ROWS))])
    first = serve_again()
    with httpx.Client(base_url=first.url, timeout=60) as client:
        answer = client.post("/v1/jobs", files={"catalogue": ("g.csv", content)}, data={"survey": "demo"})
        job = answer.json()["id"]
        done = _wait(client, job, lambda state: state["rows"]["done"] > 0)["rows"]["done"]
        assert done < ROWS
    first.process.send_signal(signal.SIGINT)
    first.process.communicate(timeout=60)
    assert first.process.returncode == 0

    second = serve_again()
    with httpx.Client(base_url=second.url, timeout=60) as client:
        state = client.get(f"/v1/jobs/{job}").json()
        assert state["phase"] == "EXECUTING"
        assert done <= state["rows"]["done"] < ROWS
        state = _wait(client, job, lambda state: state["phase"] != "EXECUTING")
        assert (state["phase"], state["rows"]) == ("COMPLETED", {"total": ROWS, "done": ROWS, "failed": 0})
        results = pq.read_table(BytesIO(client.get(f"/v1/jobs/{job}/results").content))
    assert results["id"].to_pylist() == [number % len(demo) for number in range(ROWS)]
    measured = results.drop_columns("id")
    repeats = measured.take([number % len(demo) for number in range(ROWS)])
    assert measured.equals(repeats), "a galaxy has the same numbers in every chunk, before and after"


def _wait(client: httpx.Client, job: str, there: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = monotonic() + PATIENCE
    while not there(state := dict(client.get(f"/v1/jobs/{job}").json())):
        assert monotonic() < deadline
        sleep(0.05)
    return state
