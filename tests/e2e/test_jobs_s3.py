"""Jobs whose catalogues and results are on S3: no part needs a disk that the others see."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.e2e.system import System, check

BUCKET = "redden"


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[dict[str, str], Any]]:
    """How to reach a local S3 server, which has one bucket, and a client of it."""
    pytest.importorskip("s3fs")
    import botocore.session
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    client = botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        **{name.lower(): key for name, key in keys.items()},
    )
    client.create_bucket(Bucket=BUCKET)
    yield keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}, client
    client.close()
    server.stop()


def test_a_job_on_s3_survives_its_worker(
    s3: tuple[dict[str, str], Any], catalogue: bytes, undisturbed: pa.Table, tmp_path: Path
) -> None:
    access, _ = s3
    with System(tmp_path, REDDEN_JOBS_URL=f"s3://{BUCKET}/jobs", **access) as system:
        system.restore()
        job = system.begun(catalogue)
        system.kill("worker")
        system.signal("model-server", signal.SIGCONT)
        system.start("worker")
        check(system, job, undisturbed)
        assert not system.jobs_dir.exists()

        assert system.client.delete(f"/v1/jobs/{job}").status_code == 204
        assert system.client.get(f"/v1/jobs/{job}").status_code == 404


def test_a_bucket_that_is_not_there_is_told_and_not_made(
    s3: tuple[dict[str, str], Any], catalogue: bytes, tmp_path: Path
) -> None:
    access, client = s3
    with System(tmp_path, REDDEN_JOBS_URL="s3://nowhere/jobs", **access) as system:
        for name in ("redis", "model-server", "gateway"):
            system.start(name)
        system.ready()
        answer = system.client.post("/v1/jobs", files={"catalogue": ("a.csv", catalogue)}, data={"survey": "demo"})
        assert answer.status_code == 507
        assert "there is no bucket nowhere" in answer.json()["detail"]
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == [BUCKET]
