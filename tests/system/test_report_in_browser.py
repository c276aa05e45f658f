"""Tests of the HTML report in a real browser: it is drawn, it is quiet, and it calls nobody."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

import pytest

from orchestrator.projections.report_html import report_html
from tests.orchestrator.projections.test_reports import (
    HOSTILE,
    TAILS,
    Detail,
    Page,
    failed_run,
    hostile_run,
    large_run,
)

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.system]

PROBE = "<img src='http://probe.test/x.png'>"

OF_THE_BROWSER = "not an origin"
"""What Chromium's network log calls the initiator of its own requests for updates and dictionaries."""


class Visit(NamedTuple):
    """What came of opening a page: its elements, what the console said, and which hosts it asked."""

    dom: str
    console: list[str]
    hosts: set[str | None]


Browser: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Give a browser as a command, without a screen, without a past, and without a way to any host."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars"]

    def run(page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments, page.as_uri()], capture_output=True, text=True, timeout=90, check=True
        )

    return run


def visit(browser: Browser, page: Path) -> Visit:
    """Open *page* and watch what it does."""
    net_log = page.with_suffix(".net.json")
    done = browser(page, "--dump-dom", f"--log-net-log={net_log}")
    events = json.loads(net_log.read_text(encoding="utf-8"))["events"]
    requests = [event["params"] for event in events if "initiator" in event.get("params", {})]
    hosts = {urlsplit(request["url"]).hostname for request in requests if request["initiator"] != OF_THE_BROWSER}
    return Visit(done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line], hosts)


def write(folder: Path, detail: Detail, tails: dict[str, list[str]]) -> Path:
    """Write the report of *detail* to a file in *folder*."""
    page = folder / "report.html"
    page.write_text(report_html(detail, tails), encoding="utf-8")
    return page


class TestReportInBrowser:
    """The file as the person sees it who opens it in the morning."""

    @pytest.mark.parametrize("detail", [failed_run(), large_run()], ids=["failed", "large"])
    def test_it_is_drawn_and_quiet(self, detail: Detail, tmp_path: Path, browser: Browser) -> None:
        """Given a report, then the pictures are in the document, the console says nothing and no host is asked."""
        seen = visit(browser, write(tmp_path, detail, TAILS))
        page = Page(seen.dom)
        pictures = [attributes for tag, attributes, _ in page.elements if tag == "svg"]
        groups = [attributes.get("class") for tag, attributes, _ in page.elements if tag == "g"]

        assert [picture["class"] for picture in pictures].count("picture") == 2
        assert groups.count("step") == len(detail["steps"])
        assert groups.count("attempt") == sum(len(step["attempts"]) for step in detail["steps"])
        assert seen.console == []
        assert seen.hosts == set()

    def test_hostile_text_does_nothing(self, tmp_path: Path, browser: Browser) -> None:
        """Given markup in every text from outside, then no element of it exists, nothing was blocked and nobody asked."""
        detail = hostile_run()
        detail["reason"] = PROBE
        seen = visit(browser, write(tmp_path, detail, {"gate" + HOSTILE: [PROBE, HOSTILE]}))

        assert {"img", "script"}.isdisjoint(tag for tag, _, _ in Page(seen.dom).elements)
        assert seen.console == []
        assert seen.hosts == set()

    def test_the_policy_stops_what_would_get_through(self, tmp_path: Path, browser: Browser) -> None:
        """Given a report into which somebody put an image and a script, then the browser blocks both, and says so."""
        page = write(tmp_path, failed_run(), {})
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("</main>", f"{PROBE}<script>console.log('ran')</script></main>"), encoding="utf-8")
        seen = visit(browser, page)

        assert len(seen.console) == 2
        assert all("Content Security Policy" in line for line in seen.console)
        assert seen.hosts == set()

    def test_the_watch_sees_what_happens(self, tmp_path: Path, browser: Browser) -> None:
        """Given a page that does ask and does speak, then both are noticed: the other tests would fail."""
        page = tmp_path / "loud.html"
        page.write_text(f"<!doctype html><p>{PROBE}<script>console.log('ran')</script>", encoding="utf-8")
        seen = visit(browser, page)

        assert any('"ran"' in line for line in seen.console)
        assert seen.hosts == {"probe.test"}

    @pytest.mark.parametrize("arguments", [(), ("--blink-settings=preferredColorScheme=0",)], ids=["light", "dark"])
    def test_it_can_be_photographed(self, arguments: tuple[str, ...], tmp_path: Path, browser: Browser) -> None:
        """Given light and dark, then there is a picture of the size of the window with more on it than one colour."""
        image = tmp_path / "report.png"
        browser(write(tmp_path, failed_run(), TAILS), f"--screenshot={image}", "--window-size=1200,1600", *arguments)
        data = image.read_bytes()

        assert struct.unpack(">II", data[16:24]) == (1200, 1600)
        assert len(data) > 50_000
