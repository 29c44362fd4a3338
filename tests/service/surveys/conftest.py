"""Small mosaics on a disk, on a web server with ranges, and on S3, with a count of what is transferred."""

import socket
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from service.settings import Settings
from service.surveys.definition import Definition
from service.surveys.registry import Surveys

SIDE = 1024
BANDS = ("F277W", "F444W")


def make_wcs(
    ra: float = 53.1, dec: float = -27.8, scale: float = 0.03, side: int = SIDE, **cards: object
) -> fits.Header:
    """A tangential WCS around the middle of a square image."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(side + 1) / 2] * 2
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    header = wcs.to_header()
    header["BUNIT"] = "nJy"
    header.update(cards)
    return header


def write_mosaic(file: Path, data: np.ndarray, header: fits.Header, **companions: np.ndarray) -> None:
    """A file with the extension SCI, and further ones."""
    images = [fits.ImageHDU(values, name=name) for name, values in companions.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header, name="SCI"), *images]).writeto(file)


def noise(seed: int, side: int = SIDE) -> np.ndarray:
    """An image of noise."""
    return np.random.default_rng(seed).normal(0, 1, (side, side)).astype(np.float32)


@pytest.fixture(scope="session", name="make_wcs")
def _make_wcs() -> Callable[..., fits.Header]:
    """Make a header."""
    return make_wcs


@pytest.fixture(scope="session", name="write_mosaic")
def _write_mosaic() -> Callable[..., None]:
    """Write a mosaic."""
    return write_mosaic


@pytest.fixture(scope="session", name="noise")
def _noise() -> Callable[..., np.ndarray]:
    """Make noise."""
    return noise


@pytest.fixture
def definition() -> Definition:
    """A survey whose files are of no matter."""
    return Definition.parse('name = "test"\ntitle = "Test"\n[bands.F277W]\nmosaics = ["a.fits"]', "here")


@pytest.fixture(scope="session")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bands on one grid, plain and tile-compressed."""
    directory = tmp_path_factory.mktemp("mosaics")
    for seed, band in enumerate(BANDS):
        data, header = noise(seed), make_wcs()
        write_mosaic(directory / f"{band}.fits", data, header)
        compressed = fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0, tile_shape=(128, 128))
        fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(directory / f"{band}.fits.fz")
    return directory


@pytest.fixture
def make_surveys(tmp_path: Path) -> Iterator[Callable[..., Surveys]]:
    """Register surveys of these texts."""
    opened: list[Surveys] = []

    def make(**texts: str) -> Surveys:
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\ntitle = "Test"\n{text}', encoding="utf-8")
        opened.append(Surveys.read(Settings(surveys_dir=tmp_path)))
        return opened[-1]

    yield make
    for surveys in opened:
        surveys.close()


class _RangeHandler(SimpleHTTPRequestHandler):
    """Files with ranges; paths below `/whole`, `/private` and `/broken` are served by servers of other habits."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        habit, _, name = self.path.lstrip("/").rpartition("/")
        file = Path(self.directory) / name
        status = {"private": 403, "broken": 500}.get(habit, 200 if file.is_file() else 404)
        if status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, stop = 0, file.stat().st_size
        size = stop
        if habit != "whole" and (asked := self.headers.get("Range")):
            first, last = asked.removeprefix("bytes=").split("-")
            start, stop, status = int(first), min(int(last) + 1, size), 206
        self.send_response(status)
        self.send_header("Content-Length", str(stop - start))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            with file.open("rb") as stream, suppress(ConnectionError):
                stream.seek(start)
                self.wfile.write(stream.read(stop - start))

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def web_server(mosaics: Path) -> Iterator[int]:
    """Port of a web server with ranges."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_RangeHandler, directory=str(mosaics))) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="session")
def s3_server(mosaics: Path) -> Iterator[int]:
    """Port of an S3 server with the mosaics in the public bucket ``surveys``."""
    pytest.importorskip("s3fs")
    import botocore.session
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    client = botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="surveys", ACL="public-read")
    for file in mosaics.iterdir():
        client.put_object(Bucket="surveys", Key=f"v1/{file.name}", Body=file.read_bytes(), ACL="public-read")
    client.close()
    yield port
    server.stop()


class Counter:
    """A TCP proxy that counts the bytes that come back through it."""

    def __init__(self) -> None:
        self.received = 0
        self.port = 0

    @contextmanager
    def before(self, port: int) -> Iterator["Counter"]:
        """Stand before a server."""
        counter, connections = self, []

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connections.append(self.request)
                with socket.create_connection(("127.0.0.1", port)) as upstream:
                    Thread(target=_copy, args=(self.request, upstream), daemon=True).start()
                    for data in _chunks(upstream):
                        counter.received += len(data)
                        with suppress(OSError):
                            self.request.sendall(data)

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            Thread(target=server.serve_forever, daemon=True).start()
            self.port = server.server_address[1]
            yield self
            server.shutdown()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _chunks(source: socket.socket) -> Iterator[bytes]:
    with suppress(OSError):
        while data := source.recv(65536):
            yield data


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        for data in _chunks(source):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def counter() -> Counter:
    """A count of transferred bytes."""
    return Counter()
