"""The report as a browser shows it: it renders, asks for nothing, and names stay names."""

from __future__ import annotations

import re
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from iotc_admin.cli.status_html import BEGINNING, MEANINGS, renderer
from iotc_admin.cli.status_timeline import shortened
from iotc_admin.workflows.status import STATES, Status

from ..outside import needed
from ..workflows.plants import application

HOSTILE = [
    "<script>document.title='owned'</script>",
    "<img src='http://127.0.0.1:{port}/x' onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "</title></style></script>-->",
    "evil\u202egnp.exe\u2066",
    "شركة النفط",
    "x" * 255,
]


class Page(HTMLParser):
    """What a document consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def browse(file: Path, *options: str) -> str:
    """What Chromium says of a page, with a profile of its own."""
    line = [needed("chromium"), "--no-sandbox", "--headless=new", "--disable-gpu", "--hide-scrollbars"]
    line += [f"--user-data-dir={file.parent / 'profile'}", "--window-size=1180,1400", *options, file.as_uri()]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=True).stdout


def picture(file: Path, *options: str) -> list[bytes]:
    """The page as Chromium paints it: its rows, as PNG filters them."""
    image = file.with_suffix(".png")
    browse(file, f"--screenshot={image}", *options)
    data, place, packed = image.read_bytes(), 8, b""
    width = int.from_bytes(data[16:20])
    while place < len(data):
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        packed += data[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += length + 12
    pixels = zlib.decompress(packed)
    row = len(pixels) // int.from_bytes(data[20:24])
    assert row in (width * 3 + 1, width * 4 + 1)
    return [pixels[start : start + row] for start in range(0, len(pixels), row)]


def written(folder: Path, text: str) -> Path:
    file = folder / "status.html"
    file.write_text(text, encoding="utf-8")
    return file


@contextmanager
def bait() -> Iterator[tuple[int, list[str]]]:
    """A server that no report should ever speak to; the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the base class's name
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class's name

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


@pytest.mark.parametrize("size", [0, 1, 12, 200])
def test_a_browser_shows_an_application_of_any_size(size: int, tmp_path: Path) -> None:
    status = application(size)
    file = written(tmp_path, renderer()(status))

    page = Page(browse(file, "--dump-dom"))
    rows = picture(file)

    assert page.text.count("days left until") == 0
    assert page.tags.count("tbody") == size
    assert page.tags.count("svg") == (5 if size else 0)
    for state, number in status.count.items():
        assert f"{number}{state}" in page.text
    assert len(set(rows)) > 30 + min(size, 12) * 10


def test_dark_light_and_paper_look_different(tmp_path: Path) -> None:
    file = written(tmp_path, renderer()(application(12)))

    light = picture(file)
    dark = picture(file, "--blink-settings=preferredColorScheme=0")
    browse(file, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'paper.pdf'}")

    assert light != dark
    assert len(set(dark)) > 100
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")


def hostile(port: int) -> Status:
    names = [each.replace("{port}", str(port)) for each in HOSTILE]
    return application(len(names) * 2, name="{}", ids="{}").__class__(
        **{**vars(application(0)), "app": names[0], "others": tuple(names), "slots": _named(names)}
    )


def _named(names: list[str]) -> tuple[object, ...]:
    raise NotImplementedError
