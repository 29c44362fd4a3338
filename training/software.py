"""Which code made something, for the cards of data sets and models."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from redden import __version__


def code_version(file: Path) -> str:
    """Version of redden, with the commit if a file of it lies in its git checkout, such as ``0.1.0 (4c6a4001e2f3)``.

    A ``-dirty`` behind the commit says that files of the checkout were changed since.
    """
    git = shutil.which("git")
    if git is None:
        return __version__

    def asked(*arguments: str) -> str:
        command = [git, "-C", str(file.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    # An installed copy may lie within somebody else's checkout, which does not know it.
    ours = asked("ls-files", file.name)
    commit = asked("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") if ours else ""
    return f"{__version__} ({commit})" if commit else __version__


CODE_VERSION: Final = code_version(Path(__file__))
"""Asked when the code is loaded: files may change while it runs."""
