"""What cards say of the code."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from redden import __version__
from training.software import CODE_VERSION, code_version

GIT = shutil.which("git")
ALONE = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
"""An environment in which git knows of no other repository and no settings of anybody's."""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    command = [str(GIT), "-C", str(folder), *identity, *arguments]
    environment = ALONE | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


@pytest.mark.skipif(GIT is None, reason="there is no git")
def test_the_commit_of_our_own_checkout_is_told_and_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in set(os.environ) - set(ALONE):
        monkeypatch.delenv(name)
    code = tmp_path / "software.py"
    code.write_text("first")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", code.name)
    assert code_version(code) == __version__  # nothing is committed

    git(tmp_path, "rm", "--quiet", "--cached", code.name)
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "of somebody else")
    assert code_version(code) == __version__

    git(tmp_path, "add", code.name)
    git(tmp_path, "commit", "--quiet", "-m", "of ours")
    commit = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert code_version(code) == f"{__version__} ({commit})"

    code.write_text("second")
    assert code_version(code) == f"{__version__} ({commit}-dirty)"


def test_the_version_is_told_where_there_is_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert code_version(tmp_path / "software.py") == __version__
    assert CODE_VERSION.startswith(__version__)
