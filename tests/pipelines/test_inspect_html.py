"""`inspect --html`: one page that needs nothing else, looked at in a real browser where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from beam_dynamodb_streams.commands import main
from beam_dynamodb_streams.testing import Clock, LocalStreams

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def rolled(service: LocalStreams, clock: Clock, shards: int) -> None:
    orders = service.create_table("orders", keys={"id": "S"}, shards=4)
    while len(orders.shard_ids) < shards:
        clock.advance(60)
        (orders.split if len(orders.shard_ids) % 7 == 0 else orders.roll)(orders.open_shard_ids[0])
    orders.put({"id": "o-1"})


def page_of(service: LocalStreams, file: Path, *options: str) -> str:
    words = ["--table=orders", f"--endpoint-url={service.endpoint_url}", "--region=us-east-1", *options]
    assert main(["inspect", *words, "--html", str(file)]) == 0
    return file.read_text("utf-8")


def test_the_page_has_every_shard_lag_headroom_and_cost_and_loads_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(time.time())
    with LocalStreams(clock=clock) as service:
        rolled(service, clock, 330)
        text = page_of(service, tmp_path / "orders.html", "--sample")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"{(tmp_path / 'orders.html').as_uri()}\n")
    page = Page(text)
    bars = [
        attributes for tag, attributes in page.tags if tag == "rect" and attributes.get("class") in ("open", "closed")
    ]
    assert len(bars) >= 330
    listed = set(re.findall(r"<td>(shardId-[\w-]+)</td>", text))
    assert len(listed) >= 330
    for word in (
        "lag",
        "headroom to the trim horizon",
        "until the oldest record is trimmed",
        "one reader for 30 days",
        "USD",
        "trim horizon",
    ):
        assert word in page.text
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "base"}
    assert not [
        name for _, attributes in page.tags for name in attributes if name in ("src", "href", "srcset", "action")
    ]
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_the_page_shows_how_far_an_application_is(service: LocalStreams, tmp_path: Path) -> None:
    orders = service.create_table("orders", keys={"id": "S"})
    orders.put_many({"id": f"o-{n}"} for n in range(4))
    progress = f"file:{tmp_path / 'progress.json'}"
    words = ["--table=orders", f"--endpoint-url={service.endpoint_url}", "--region=us-east-1"]
    (tmp_path / "app.py").write_text("def handler(event, context):\n    pass\n")
    from beam_dynamodb_streams.commands.handle import main as handle

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        handle(
            [
                *words,
                "--handler=app.handler",
                f"--progress={progress}",
                "--stop=2",
                "--batch_size=1",
                "--runner=FnApiRunner",
            ]
        )
    text = Page(page_of(service, tmp_path / "orders.html", f"--progress={progress}", "--sample")).text
    assert f"of {progress}" in text
    assert "until changes are lost to the application" in text


def test_names_are_text_and_not_markup(tmp_path: Path) -> None:
    from dataclasses import replace

    from beam_dynamodb_streams.commands.overview_page import overview_page
    from beam_dynamodb_streams.inspection.stream_overview import inspect_stream
    from beam_dynamodb_streams.wire import Client

    with LocalStreams() as service:
        table = service.create_table("orders", keys={"id": "S"})
        client = Client(region_name="us-east-1", endpoint_url=service.endpoint_url)
        seen = inspect_stream(client, table.stream_arn)
        client.close()
    shard = replace(seen.shards[0], shard_id=f"{seen.shards[0].shard_id}{EVIL}\x1b")
    text = overview_page(replace(seen, table=EVIL, stream_arn=f"arn{EVIL}", shards=(shard,)))
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text


def test_without_a_file_the_page_goes_to_stdout_where_that_is_not_a_terminal(
    service: LocalStreams, capsys: pytest.CaptureFixture[str]
) -> None:
    service.create_table("orders", keys={"id": "S"})
    words = ["--table=orders", f"--endpoint-url={service.endpoint_url}", "--region=us-east-1"]
    assert main(["inspect", *words, "--html"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("<!doctype html>")
    assert printed.err == ""


@pytest.mark.skipif(CHROMIUM is None, reason="NOT RUN: no Chromium (Debian's package chromium)")
def test_a_real_browser_shows_it_and_asks_nobody(tmp_path: Path) -> None:
    clock = Clock(time.time())
    with LocalStreams(clock=clock) as service:
        rolled(service, clock, 310)
        page_of(service, tmp_path / "orders.html")
    picture = tmp_path / "page.png"
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr",
    ]
    size = ["--window-size=1200,1400", f"--screenshot={picture}"]
    seen = subprocess.run(
        [str(CHROMIUM), *options, *size, "--dump-dom", (tmp_path / "orders.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert len(re.findall('<rect class="(?:open|closed|trimmed)', seen.stdout)) >= 310
    assert "Refused to" not in seen.stderr, "the page asks for what its own policy forbids"
    assert "CONSOLE" not in seen.stderr
    assert picture.stat().st_size > 20_000, "the picture is blank"
