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
from iotc_admin.cli.status_timeline import shortened, timeline
from iotc_admin.workflows.status import STATES

from ..outside import needed
from ..workflows.plants import NOW, application

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
        def do_GET(self) -> None:
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


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_from_elsewhere_is_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    tame, report = (renderer()(application(12, [each])) for each in ("tame", name))
    with bait() as (port, asked):
        file = written(tmp_path, report.replace("{port}", str(port)))

        page = Page(browse(file, "--dump-dom"))

    assert page.tags == Page(browse(written(tmp_path, tame), "--dump-dom")).tags
    assert not {"script", "img", "link", "iframe", "object", "a", "form"} & set(page.tags)
    assert [each for each in page.attributes if each[0].startswith(("on", "src", "href", "style"))] == []
    assert asked == []
    assert not set("\u202e\u2066") & set(report)
    visible = name.replace("\u202e", r"\u202e").replace("\u2066", r"\u2066").replace("{port}", str(port))
    assert visible in page.text


def test_even_markup_that_got_in_would_fetch_and_run_nothing(tmp_path: Path) -> None:
    with bait() as (port, asked):
        harm = f"<img src='http://127.0.0.1:{port}/x'><script>document.title='owned'</script></body>"
        report = renderer()(application(1))

        seen = browse(written(tmp_path, report.replace("</body>", harm)), "--dump-dom")
        closed = list(asked)
        without = re.sub("<meta http-equiv.*?>", "", report).replace("</body>", harm)
        open_ = browse(written(tmp_path, without), "--dump-dom")

    assert (closed, asked) == ([], ["/x"])
    assert ("<title>owned" in seen, "<title>owned" in open_) == (False, True)


def test_the_report_says_what_it_is_and_of_when() -> None:
    report = renderer()(application(12))

    assert report.encode().startswith(BEGINNING)
    assert '<html lang="en">' in report
    assert '<time datetime="2026-06-01T12:00:00Z">' in report
    assert 'role="img" aria-labelledby="line-title line-text"' in report
    assert report.count('scope="col"') == 6
    assert set(MEANINGS) == set(STATES)


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", block))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(each * 2 for each in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (
        each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_text_stands_out_from_what_is_behind_it_in_light_dark_and_print() -> None:
    themes = re.findall(r":root \{(.*?)\}", renderer()(application(0)), re.DOTALL)
    tones = ("red", "amber", "green", "blue")
    pairs = [("text", "page"), ("text", "card"), ("soft", "page"), ("soft", "card"), ("soft", "gray-soft")]
    pairs += [(tone, behind) for tone in tones for behind in ("card", f"{tone}-soft")]
    pairs += [("text", f"{tone}-soft") for tone in tones]

    assert len(themes) == 3
    for theme in map(colours, themes):
        for front, back in pairs:
            light, dark = sorted((luminance(theme[front]), luminance(theme[back])), reverse=True)
            # 4.5 is what WCAG 2.2 asks of text, 1.4.3.
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    assert shortened("short/primary") == "short/primary"
    assert shortened(f"plant-{'x' * 250}/primary") == "plant-xxxxxxxxxx…xxxxxxxx/primary"


def test_bars_stand_in_the_order_of_time_and_inside_the_picture() -> None:
    line = timeline(application(200).slots, NOW)
    assert line is not None

    ends = [bar.end for bar in line.bars]
    assert ends == sorted(ends)
    assert len(line.bars) == 40
    assert len(line.bars) + len(line.marks) == sum(1 for each in application(200).slots if each.dates)
    for x in (*ends, *line.marks, *(x for x, _ in line.ticks)):
        assert line.left <= x <= line.right
    for bar in line.bars:
        assert (bar.days < 0) == (bar.end < line.now)
        assert bar.due <= max(bar.end, line.now)
