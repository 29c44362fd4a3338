"""What a command line says where something is missing on the machine, in place of a traceback."""

import pytest

from training import cli


def test_a_missing_module_of_our_own_is_not_taken_for_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_a_module() -> None:
        raise ModuleNotFoundError("No module named 'training.gone'", name="training.gone")

    monkeypatch.setattr(cli, "app", without_a_module)
    with pytest.raises(ModuleNotFoundError, match="training.gone"):
        cli.main()


def test_a_missing_extra_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_an_extra() -> None:
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.setattr(cli, "app", without_an_extra)
    with pytest.raises(SystemExit, match=r"numba is not installed: .* `pip install 'redden\[training,sed\]'`"):
        cli.main()
