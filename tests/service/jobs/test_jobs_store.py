"""The store of catalogues and results, on this machine and behind a URL."""

import errno
import time
from pathlib import Path

import pytest

from service.jobs.store import StorageError, Store, made_before, new_id, storing


@pytest.fixture(params=["directory", "url"])
def store(request, tmp_path):
    if request.param == "directory":
        yield Store.at(str(tmp_path / "jobs"))
    else:
        store = Store.at(f"memory://{new_id()}/jobs")
        yield store
        store.remove("")


def test_a_folder_appears_when_it_is_complete(store):
    with store.new("jobs/a") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(b"whole")
        assert store.folders("jobs") == []
    assert store.folders("jobs") == ["a"]
    with store.open("jobs/a/inner", "file") as file:
        assert file.read() == b"whole"
    assert (store.copy("jobs/a/inner") / "file").read_bytes() == b"whole"


def test_a_folder_that_was_not_completed_is_not_there(store):
    def fill():
        with store.new("jobs/a") as folder:
            (folder / "file").write_bytes(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fill()
    assert store.folders("jobs") == []
    if store.is_local:
        assert [path for path in Path(store.root).rglob("*") if path.is_file()] == []


def test_a_file_is_written_again(store):
    with store.new("jobs/a") as folder:
        (folder / "file").touch()
    for content in (b"first", b"second"):
        store.write("jobs/a", "file", content)
        with store.open("jobs/a", "file") as file:
            assert file.read() == content
    assert len(store.fs.ls(store.path("jobs/a"))) == 1


def test_removing_leaves_the_others(store):
    for name in ("a", "b"):
        with store.new(f"jobs/{name}") as folder:
            (folder / "file").touch()
    store.remove("jobs/a")
    store.remove("jobs/a")
    assert store.folders("jobs") == ["b"]
    with pytest.raises(FileNotFoundError):
        store.open("jobs/a", "file")


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    store = Store.at(str(tmp_path))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    full_disk = pytest.raises(StorageError, match="the results cannot be stored: No space left on device")
    with full_disk, storing("the results"):
        store.write("", "part", b"content")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_cannot_be_used_is_said_plainly():
    with pytest.raises(StorageError, match="REDDEN_JOBS_URL 'nonsense://bucket'"):
        Store.at("nonsense://bucket")


def test_names_tell_their_age():
    first = new_id()
    time.sleep(0.01)
    middle = time.time()
    time.sleep(0.01)
    second = new_id()
    assert first < second
    unfinished = f"{first}-h7x_"
    assert made_before([first, unfinished, second, "lost+found", "incoming"], middle) == {first, unfinished}
