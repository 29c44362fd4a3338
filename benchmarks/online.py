"""How fast one gateway answers over loopback, beside an endpoint that does nothing: ``python benchmarks/online.py``.

Starts a gateway and a local model server, and asks with 1 and with 64 clients, in turns with the empty endpoint. The
load generator runs on the same cores, so compare the ratios, not the absolute rates, between machines.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import httpx
from rich.console import Console
from rich.table import Table

from service.processes import Children, free_port

ROOT = Path(__file__).parents[1]
GALAXY = ROOT / "service" / "demo" / "galaxy.fits"


async def _ask(host: str, port: int, request: bytes, until: float, latencies: list[float]) -> None:
    """One client: the same request again and again over one connection."""
    reader, writer = await asyncio.open_connection(host, port)
    while (start := perf_counter()) < until:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(head.decode())
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        latencies.append(perf_counter() - start)
    writer.close()
    await writer.wait_closed()


async def _load(port: int, request: bytes, clients: int, seconds: float) -> list[float]:
    latencies: list[float] = []
    until = perf_counter() + seconds
    await asyncio.gather(*(_ask("127.0.0.1", port, request, until, latencies) for _ in range(clients)))
    return latencies


def _request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: redden\r\ncontent-type: application/fits\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _wait_until_ready(port: int, children: Children) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            children.check()
            try:
                client.get("/readyz").raise_for_status()
            except httpx.HTTPError:
                continue
            return


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--file", type=Path, default=GALAXY, help="FITS file to send")
    arguments = parser.parse_args()
    body = arguments.file.read_bytes()
    requests = {
        "nothing (/healthz)": _request("GET", "/healthz"),
        "gaussian-3band": _request("POST", "/v1/predict", body),
        "paper-1band": _request("POST", "/v1/predict?model=paper-1band", body),
    }
    port, model_server = free_port(), f"127.0.0.1:{free_port()}"
    environment = {"REDDEN_MODEL_SERVER": model_server, "REDDEN_MODELS_DIR": str(ROOT / "models")}
    uvicorn = (sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app", "--no-access-log")
    table = Table("Request", "Clients", "Requests/s", "p50 ms", "p99 ms", "Share of nothing", title="One gateway")
    with tempfile.TemporaryDirectory() as logs, Children(Path(logs), environment) as children:
        children.start("model-server", (sys.executable, "-m", "service", "model-server", "--address", model_server))
        children.start("gateway", (*uvicorn, "--port", str(port)))
        _wait_until_ready(port, children)
        for clients in (1, 64):
            nothing = 0.0
            for name, request in requests.items():
                asyncio.run(_load(port, request, clients, 0.5))
                latencies = asyncio.run(_load(port, request, clients, arguments.seconds))
                rate = len(latencies) / arguments.seconds
                nothing = nothing or rate
                percentiles = statistics.quantiles(latencies, n=100)
                table.add_row(
                    name,
                    str(clients),
                    f"{rate:.0f}",
                    f"{percentiles[49] * 1e3:.1f}",
                    f"{percentiles[98] * 1e3:.1f}",
                    f"{rate / nothing:.2f}",
                )
    Console().print(table)


if __name__ == "__main__":
    main()
