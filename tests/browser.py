"""A real browser, headless: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright
from processes import eventually
from requirements import required_program

_FLAGS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

PATIENCE_MS = 30_000


@contextmanager
def chromium(playwright: Playwright, microphone: Path | None = None) -> Iterator[Browser]:
    """A browser; with a WAV file as what its microphone hears, which pages then may use."""
    flags = [*_FLAGS]
    if microphone is not None:
        flags += [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
    browser = playwright.chromium.launch(executable_path=required_program("chromium"), args=flags)
    try:
        yield browser
    finally:
        browser.close()


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true in the page; Playwright's own way would need its policy to allow `eval`."""
    eventually(lambda: bool(page.evaluate(expression)))


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a context of its own, which may say nothing in the console and ask nobody but the service."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    hosts: set[str] = set()
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.complaints = complaints  # type: ignore[attr-defined]
    try:
        yield page
        # Chromium itself says so of every answer that is an error, which pages tell in their own words.
        assert [line for line in complaints if not line.startswith("Failed to load resource")] == []
        assert len(hosts) <= 1, hosts
    finally:
        context.close()
