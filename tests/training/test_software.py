"""What cards say of the code."""

import shutil
import subprocess
from pathlib import Path

import pytest

from redden import __version__
from training import software

GIT = shutil.which("git")


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    software.code_version.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    command = [str(GIT), "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(GIT is None, reason="there is no git")
def test_the_commit_of_our_own_checkout_is_told_and_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "software.py"
    code.write_text("first")
    monkeypatch.setattr(software, "__file__", str(code))
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "of somebody else")
    assert software.code_version() == __version__

    git(tmp_path, "add", code.name)
    git(tmp_path, "commit", "--quiet", "-m", "of ours")
    software.code_version.cache_clear()
    commit = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert software.code_version() == f"{__version__} ({commit})"

    code.write_text("second")
    software.code_version.cache_clear()
    assert software.code_version() == f"{__version__} ({commit}-dirty)"


def test_the_version_is_told_where_there_is_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert software.code_version() == __version__
