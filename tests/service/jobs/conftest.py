"""Jobs without a worker process: a real queue, and chunks that are measured when a test says so."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from pydantic import RedisDsn
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from service.embedded import redis_binary
from service.jobs.celery_app import make_celery
from service.jobs.chunk import Tools, measure_chunk
from service.jobs.queue import Queue
from service.jobs.state import Jobs, Part
from service.processes import Children, free_port
from service.settings import Settings
from service.surveys.definition import DEMO_DIR


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Redis-protocol server."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    with Children(folder, {}) as children:
        children.start("redis", (redis_binary(), "-"), stdin=f'bind 127.0.0.1\nport {port}\ndir "{folder}"\nsave ""\n')
        url = f"redis://127.0.0.1:{port}/0"
        with Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 200)) as redis:
            redis.ping()
        yield url


@pytest.fixture
def redis(redis_url: str) -> "Iterator[Redis]":
    """A connection to an empty server."""
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        redis.flushall()
        yield redis


@pytest.fixture
def jobs(redis: "Redis") -> Jobs:
    """State of jobs, none so far."""
    return Jobs(redis, lifetime=3600)


@dataclass(frozen=True)
class Desk:
    """A gateway, and the chunks that are queued behind it."""

    client: httpx.Client
    tools: Tools
    queue: Queue

    @property
    def waiting(self) -> list[tuple[str, int]]:
        """Chunks in the queue."""
        return sorted((job, chunk) for job, chunks in self.queue.waiting().items() for chunk in chunks)

    def work(self, chunks: int | None = None) -> None:
        """Measure queued chunks, as a worker would; by default all."""
        for job, chunk in self.waiting[:chunks]:
            self.measure(job, chunk)

    def table(self, job: str, **parameters: object) -> pa.Table:
        """The results of a job."""
        answer = self.client.get(f"/v1/jobs/{job}/results", params=parameters)
        assert answer.status_code == 200, answer.text
        return pq.read_table(BytesIO(answer.content))

    def measure(self, job: str, chunk: int) -> None:
        """Measure a chunk, as a worker would."""
        part = Part(chunk, int(str(self.queue.redis.hget(f"redden:job:{job}", "attempt") or 0)))
        before = self.tools.jobs.begin(job, part)
        if before is not False:
            asyncio.run(measure_chunk(self.tools, job, part, before))


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path, model_server: str, redis_url: str) -> Settings:
    """Settings of a gateway that cuts catalogues into chunks of four rows."""
    return Settings(
        models_dir=models_dir,
        model_server=model_server,
        redis_url=RedisDsn(redis_url),
        surveys_dir=tmp_path / "no-surveys",
        jobs_url=str(tmp_path / "jobs"),
        chunk_rows=4,
    )


@pytest.fixture
def desk(settings: Settings, redis: "Redis", running_gateway: Callable[..., object]) -> Iterator[Desk]:
    """A gateway without jobs."""
    with running_gateway(settings) as client:  # type: ignore[attr-defined]
        tools = Tools.of(settings)
        app = make_celery(settings)
        yield Desk(client, tools, Queue(app, redis))
        app.close()
        tools.surveys.close()


@pytest.fixture(scope="session")
def galaxies() -> str:
    """Ten galaxies of the demo survey as CSV: the third has no position, the sixth is off the footprint."""
    demo = Table.read(DEMO_DIR / "catalogue.ecsv")[:10]
    lines = [f"galaxy {number},{row['ra']},{row['dec']}" for number, row in enumerate(demo)]
    lines[2] = "galaxy 2,,"
    lines[5] = "galaxy 5,150.1,2.2"
    return "\n".join(["name,ra,dec", *lines, ""])


@pytest.fixture
def submit(desk: Desk, galaxies: str) -> Callable[..., httpx.Response]:
    """Post a catalogue; the answer."""

    def submit(
        content: str | bytes = galaxies,
        headers: dict[str, str] | None = None,
        name: str = "galaxies.csv",
        **fields: object,
    ) -> httpx.Response:
        fields = {"survey": "demo"} | fields
        given = {field: value for field, value in fields.items() if value is not None}
        return desk.client.post("/v1/jobs", files={"catalogue": (name, content)}, data=given, headers=headers)

    return submit
