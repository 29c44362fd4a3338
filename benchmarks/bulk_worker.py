"""A worker of ``benchmarks/bulk.py``: measures its share of the chunks of a plan when told to, and says how it went."""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from redden.modelcard import ModelCard
from service.bulk import measure_positions
from service.bulk.columns import OK
from service.inference.client import ModelServer
from service.jobs.plan import Chunk, read_chunk
from service.jobs.store import Store
from service.memory import keep_freed_memory
from service.settings import Settings
from service.surveys.registry import Surveys
from service.surveys.survey import Survey


def own_memory() -> float:
    """Resident memory of this process in MiB, without mapped files, which the system can take back."""
    return int(re.findall(r"RssAnon:\s*(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


async def measure(
    chunks: Iterator[Chunk], survey: Survey, card: ModelCard, address: str, out: Path
) -> tuple[int, float]:
    """Measure chunks and write a part for each. Returns the rows measured, and the most `own_memory` after one."""
    server = ModelServer(address, deadline=60)
    measured, most = 0, 0.0
    for number, chunk in enumerate(chunks):
        assert chunk.ra is not None
        assert chunk.dec is not None
        table = await measure_positions(
            survey, chunk.ra, chunk.dec, card, partial(server.predict, card.name, card.version)
        )
        pq.write_table(table, out / f"{number}.parquet")
        measured += pa.compute.sum(pa.compute.equal(table["status"], OK)).as_py()
        most = max(most, own_memory())
    await server.close()
    return measured, most


def main() -> None:
    """Get ready, say so, wait for a line, measure, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path, help="folder of the plan")
    parser.add_argument("surveys", type=Path, help="directory of survey files")
    parser.add_argument("model", type=Path, help="directory NAME/VERSION of the model")
    parser.add_argument("address", help="model server")
    parser.add_argument("out", type=Path, help="directory for the parts")
    parser.add_argument("--share", type=int, nargs=3, help="first, last and step of the chunks to measure")
    arguments = parser.parse_args()
    keep_freed_memory()
    surveys = Surveys.read(Settings(surveys_dir=arguments.surveys))
    survey, card = surveys.get("bench"), ModelCard.read(arguments.model)
    store = Store.at(str(arguments.plan.parent))
    arguments.out.mkdir(parents=True, exist_ok=True)
    run = partial(measure, survey=survey, card=card, address=arguments.address, out=arguments.out)
    first = read_chunk(store, arguments.plan.name, 0)
    asyncio.run(run(iter([first.without(first.rows[300:])])))
    print("ready", flush=True)
    sys.stdin.readline()
    numbers = np.arange(*arguments.share).tolist()
    measured, most = asyncio.run(run(read_chunk(store, arguments.plan.name, number) for number in numbers))
    print(json.dumps({"measured": measured, "memory": most}), flush=True)
    surveys.close()


if __name__ == "__main__":
    main()
