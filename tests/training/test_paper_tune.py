"""The search for hyperparameters: its space, a search that is killed and goes on, and one with a chief and workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from astropy.table import Table

from training.networks import paper
from training.paper.tune import CURVE_FILE, TABLE_FILE, chosen, space, table

# Of keras-tuner 1.4: its search for the next point asks numpy for a scalar of an array with one number.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def search(blobs: Path, out: Path, trials: int, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from training.cli import app; app()", "tune", "paper-1band"]
    options = ["--data", str(blobs), "--out", str(out), "--trials", str(trials), "--factor", "1", "--epochs", "1"]
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"} | variables
    return subprocess.Popen(
        [*command, *options], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def states(out: Path) -> dict[str, str]:
    """Contents of the finished trials."""
    found = {path.parent.name: path.read_text() for path in out.glob("trials/trial_*/trial.json")}
    return {name: text for name, text in found.items() if '"COMPLETED"' in text}


def test_the_space_is_the_papers_table_1() -> None:
    ranges = {each.name: each for each in space().space}
    assert (ranges["convolutions"].min_value, ranges["convolutions"].max_value) == (1, 4)
    assert (ranges["dense_layers"].min_value, ranges["dense_layers"].max_value) == (1, 4)
    assert (ranges["learning_rate"].min_value, ranges["learning_rate"].max_value) == (1e-4, 1e-2)
    assert (ranges["batch_size"].min_value, ranges["batch_size"].max_value) == (16, 64)
    for number in range(1, 5):
        assert (ranges[f"filters_{number}"].min_value, ranges[f"filters_{number}"].max_value) == (4, 64)
        assert (ranges[f"units_{number}"].min_value, ranges[f"units_{number}"].max_value) == (8, 64)
    assert len(ranges) == 12


def test_values_of_the_space_become_hyperparameters() -> None:
    found = space()
    found.values |= {"convolutions": 2, "filters_2": 12, "dense_layers": 1, "units_1": 24, "batch_size": 48}
    assert chosen(found.values) == paper.Hyperparameters(
        filters=(4, 12), dense=(24,), learning_rate=1e-4, batch_size=48
    )


def test_a_search_that_was_killed_goes_on(blobs: Path, tmp_path: Path) -> None:
    process = search(blobs, tmp_path, 4)
    deadline = time.monotonic() + 240
    while len(states(tmp_path)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = states(tmp_path)
    assert len(before) >= 2
    assert not (tmp_path / TABLE_FILE).exists()

    output = finished(search(blobs, tmp_path, 4))
    assert "Reloading Tuner" in output
    after = states(tmp_path)
    assert len(after) == 4
    assert before.items() <= after.items()  # what was done is not done again
    found = Table.read(tmp_path / TABLE_FILE)
    assert list(found["trial"]) == [0, 1, 2, 3]
    assert found["best"][-1] == found["val_loss"].min()
    assert found.meta["model"] == "paper-1band"
    assert (tmp_path / CURVE_FILE).read_bytes().startswith(b"\x89PNG")


def test_a_chief_and_two_workers_share_a_search(blobs: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free.getsockname()[1])}
    names = ("chief", "tuner0", "tuner1")
    processes = [search(blobs, tmp_path, 4, KERASTUNER_TUNER_ID=name, **address) for name in names]
    outputs = [finished(process) for process in reversed(processes)]
    assert "All 4 trials" in outputs[-1]
    assert not any("All 4 trials" in output for output in outputs[:-1])  # workers know only their own
    # Trials are short, so one worker may have done them all before the other was there.
    assert sum(output.count(" - val_loss: ") for output in outputs[:-1]) == 4
    assert " - val_loss: " not in outputs[-1]  # the chief fits nothing
    assert len(states(tmp_path)) == len(Table.read(tmp_path / TABLE_FILE)) == 4


def test_half_written_trials_are_left_out_of_the_table(tmp_path: Path) -> None:
    values = {"convolutions": 1, "filters_1": 8, "dense_layers": 1, "units_1": 16, "learning_rate": 1e-3}
    good = {"trial_id": "00", "status": "COMPLETED", "score": 50.0, "hyperparameters": {"values": values}}
    values["batch_size"] = 32
    for name, text in {"00": json.dumps(good), "01": json.dumps(good)[:40], "02": '{"status": "RUNNING"}'}.items():
        (tmp_path / "trials" / f"trial_{name}").mkdir(parents=True)
        (tmp_path / "trials" / f"trial_{name}" / "trial.json").write_text(text)
    found = table(tmp_path)
    assert found.colnames == ["trial", "val_loss", "best", "filters", "dense", "learning_rate", "batch_size"]
    assert list(found["trial"]) == [0]
