"""What a command line says where something is missing on the machine, in place of a traceback."""

import pytest

from training import cli


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_an_extra() -> None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.setattr(cli, "app", without_an_extra)
    with pytest.raises(SystemExit, match=r"numba is not installed: .* `pip install 'redden\[training,sed\]'`"):
        cli.main()
