"""Child processes: they start, are stopped, are missed when they die, and leave no orphan."""

import os
import signal
import socket
import subprocess
import sys
from time import monotonic, sleep

import pytest

from service import processes
from service.processes import ChildDiedError, Children, free_port, is_free

SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition, seconds=10):
    deadline = monotonic() + seconds
    while not condition() and monotonic() < deadline:
        sleep(0.02)
    return condition()


def test_children_get_their_environment_and_input_and_are_stopped(tmp_path):
    script = (
        "import os, sys, time; print(os.environ['GALAXY'], sys.stdin.read(), os.getpid(), flush=True); time.sleep(600)"
    )
    with Children(tmp_path, {"GALAXY": "m31"}) as children:
        children.start("reader", (sys.executable, "-c", script), stdin="hello")
        children.start("sleeper", SLEEPER)
        log = tmp_path / "reader.log"
        assert eventually(lambda: log.read_text().endswith("\n"))
        galaxy, greeting, pid = log.read_text().split()
        children.check()
        assert alive(int(pid))
    assert (galaxy, greeting) == ("m31", "hello")
    assert not alive(int(pid))


def test_a_child_that_dies_is_named_with_the_end_of_its_log(tmp_path):
    with Children(tmp_path, {}) as children:
        children.start("sleeper", SLEEPER)
        children.start("model-server", (sys.executable, "-c", "raise SystemExit('no models here')"))
        with pytest.raises(ChildDiedError, match="the model-server stopped with status 1:\nno models here"):
            assert eventually(lambda: children.check() is not None)


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STOP_TIMEOUT", 0.3)
    stubborn = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(os.getpid(), child.pid, flush=True); time.sleep(600)"
    )
    with Children(tmp_path, {}) as children:
        children.start("stubborn", (sys.executable, "-c", stubborn))
        log = tmp_path / "stubborn.log"
        assert eventually(lambda: log.read_text().endswith("\n"))
        pids = [int(pid) for pid in log.read_text().split()]
    assert eventually(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_children_end_when_their_parent_is_killed(tmp_path):
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    parent = (
        "import sys, time; from pathlib import Path; from service.processes import Children\n"
        "with Children(Path(sys.argv[1]), {}) as children:\n"
        "    children.start('child', (sys.executable, '-c', sys.argv[2]))\n"
        "    time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, str(tmp_path), child])
    log = tmp_path / "child.log"
    assert eventually(lambda: log.exists() and log.read_text().endswith("\n"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert eventually(lambda: not alive(int(log.read_text())))


def test_a_port_is_free_until_somebody_listens():
    port = free_port()
    assert is_free("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free("127.0.0.1", port)
