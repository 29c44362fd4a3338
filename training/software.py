"""Which code made something, for the cards of data sets and models."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

from redden import __version__


@cache
def code_version() -> str:
    """Version of redden, with the commit if the code is that of a git checkout, such as ``0.1.0 (4c6a4001e2f3)``.

    A ``-dirty`` behind the commit says that files of the checkout were changed since.
    """
    here, git = Path(__file__), shutil.which("git")
    if git is None:
        return __version__

    def asked(*arguments: str) -> str:
        command = [git, "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    # An installed copy may lie within somebody else's checkout, which does not know it.
    if not asked("ls-files", here.name):
        return __version__
    return f"{__version__} ({asked('describe', '--always', '--dirty', '--abbrev=12', '--exclude=*')})"
