"""The pages for people, in a real browser over the real service: listening, sending files, answers, errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import catalogue
import media
import numpy as np
import pytest
from browser import PATIENCE_MS, chromium, opened, until
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from readme import PROJECT
from servers import TOKEN, Server

pytestmark = pytest.mark.server

SONG, NAME = 90, "<b>Tom & Jerry's</b> “Ænima”"
STATIC = PROJECT / "dejavu" / "web" / "static"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with one song, whose name wants to be markup."""
    with Server(tmp_path_factory.mktemp("site"), recognizing={"max_file_size_mb": 3}) as running:
        answer = running.fingerprint(catalogue.song(SONG), song_name=NAME)
        assert answer.status_code == 200, answer.text
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that a person may choose, by what they are."""
    folder = tmp_path_factory.mktemp("files")
    quiet = media.wav(np.zeros(44_100, np.float32))
    contents = {
        "known.mp3": catalogue.clip(SONG, 2.0, 8.0),
        "unknown.mp3": catalogue.clip(SONG + 1, 2.0, 8.0),
        "notes.txt": b"nothing to be heard here",
        "silence.wav": quiet,
        "large.wav": bytes(3_500_000),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in contents}


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One whose microphone hears the song over and over."""
    heard = tmp_path_factory.mktemp("microphone") / "song.wav"
    samples = catalogue.samples(SONG)
    heard.write_bytes(media.encode(samples, media.FORMATS["wav"]))
    with chromium(playwright, heard) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser) as page:
        yield page


def send(page: Page, site: Server, file: str, **fields: str) -> None:
    page.goto(site.url)
    page.set_input_files("#file", file)
    for label, value in fields.items():
        page.get_by_label(label.capitalize(), exact=True).fill(value)
    page.get_by_role("button", name="Recognise").click()


def test_a_file_is_recognised_and_has_an_address_of_its_own(page: Page, site: Server, files: dict[str, str]) -> None:
    send(page, site, files["known.mp3"], start="0:01.0", length="6")
    answer = page.locator("#answer")
    expect(answer.get_by_role("heading", level=2, name=NAME)).to_be_visible()
    expect(answer.get_by_text("In the catalogue", exact=True)).to_be_visible()
    assert re.fullmatch(r"0:0[23]\.\d", answer.locator("dd").first.inner_text())
    assert "certain" in answer.inner_text()
    assert answer.locator("b").count() == 0  # the name stays a name
    picture = answer.get_by_role("img")
    expect(picture).to_be_visible()
    until(page, "document.querySelector('#answer img').naturalWidth > 600")
    address = answer.get_by_role("link", name="Address of this answer").get_attribute("href")
    assert address is not None and re.fullmatch(r"/results/\w{20}", address)
    page.goto(site.url + address)
    expect(page.get_by_role("heading", level=1, name=NAME)).to_be_visible()
    assert page.title() == f"{NAME} · TuneScout"


def test_what_is_not_there_is_said_as_plainly(page: Page, site: Server, files: dict[str, str]) -> None:
    send(page, site, files["unknown.mp3"], length="")
    expect(page.locator("#answer").get_by_text("Not in the catalogue", exact=True)).to_be_visible()
    until(page, "document.querySelector('#answer img').naturalWidth > 600")


@pytest.mark.parametrize(
    ("file", "fields", "told"),
    [
        ("notes.txt", {}, "no audio or video that can be read"),
        ("silence.wav", {}, "nothing to listen to"),
        ("large.wav", {}, "too large"),
        ("known.mp3", {"start": "5:00"}, "past the end"),
        ("known.mp3", {"start": "soon"}, "Start: write seconds"),
        ("known.mp3", {"length": "0"}, "Length: write seconds"),
    ],
)
def test_errors_are_told_in_words(
    page: Page, site: Server, files: dict[str, str], file: str, fields: dict[str, str], told: str
) -> None:
    send(page, site, files[file], **fields)
    expect(page.locator("#file-status")).to_contain_text(told)
    expect(page.get_by_role("button", name="Recognise")).to_be_enabled()
    expect(page.locator("#answer")).to_be_empty()


def test_a_service_that_is_gone_is_told(page: Page, tmp_path: Path, files: dict[str, str]) -> None:
    with Server(tmp_path) as passing:
        page.goto(passing.url)
    page.set_input_files("#file", files["known.mp3"])
    page.get_by_role("button", name="Recognise").click()
    expect(page.locator("#file-status")).to_contain_text("The service was not reached")


def test_the_page_waits_as_it_is_told_when_it_asks_too_often(page: Page, tmp_path: Path, files: dict[str, str]) -> None:
    with Server(tmp_path, rate_limit={"recognizing": "1 per 3 second"}) as slow:
        send(page, slow, files["unknown.mp3"])
        expect(page.locator("#answer")).to_contain_text("Not in the catalogue")
        page.get_by_role("button", name="Recognise").click()
        expect(page.locator("#file-status")).to_contain_text("trying again in")
        expect(page.locator("#answer")).to_contain_text("Not in the catalogue")
        assert slow.log.count("route=/api/recognize status=200") == 2


def test_what_the_microphone_hears_is_recognised_while_it_still_listens(page: Page, site: Server) -> None:
    before = len(re.findall("route=/api/recognize", site.log))
    page.goto(site.url)
    page.get_by_role("button", name="Listen").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    until(page, "getComputedStyle(document.querySelector('#level')).getPropertyValue('--level') > 0.2")
    expect(page.locator("#answer").get_by_role("heading", level=2, name=NAME)).to_be_visible()
    expect(page.get_by_role("button", name="Listen")).to_be_visible()
    asked = re.findall(r"route=/api/recognize status=(\d+)", site.log)[before:]
    assert asked[-1] == "200" and len(asked) <= 3
    assert len(asked) < 3, "it listened to the end, though the song is there from the beginning"


def test_what_is_not_there_is_listened_to_for_ten_seconds(playwright: Playwright, site: Server, tmp_path: Path) -> None:
    (tmp_path / "other.wav").write_bytes(media.encode(catalogue.samples(SONG + 1), media.FORMATS["wav"]))
    before = site.log.count("route=/api/recognize")
    with chromium(playwright, tmp_path / "other.wav") as browser, opened(browser) as page:
        page.goto(site.url)
        page.get_by_role("button", name="Listen").click()
        expect(page.locator("#answer")).to_contain_text("Not in the catalogue", timeout=PATIENCE_MS)
        expect(page.get_by_role("button", name="Listen")).to_be_visible()
        expect(page.locator("#listen-status")).to_be_empty()
    assert site.log.count("route=/api/recognize") - before == 3


def test_an_answer_that_cannot_be_shown_is_told(page: Page, site: Server, files: dict[str, str]) -> None:
    page.route("**/results/*", lambda route: route.abort())
    send(page, site, files["known.mp3"])
    expect(page.locator("#file-status")).to_contain_text("The service was not reached")


def test_who_asks_for_pages_too_often_gets_one_that_says_so(tmp_path: Path) -> None:
    with Server(tmp_path, rate_limit={"fetching_results": "1 per minute"}) as slow:
        slow.get("/results/nonsense")
        answer = slow.get("/results/nonsense")
        metrics = slow.get("/metrics").text
    assert (answer.status_code, answer.headers["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert "Too many requests" in answer.text and int(answer.headers["Retry-After"]) >= 1
    assert 'tunescout_errors_total{code="rate_limited"} 1.0' in metrics
    assert 'tunescout_errors_total{code="unknown_token"} 1.0' in metrics


def test_listening_can_be_stopped(page: Page, site: Server) -> None:
    page.goto(site.url)
    page.get_by_role("button", name="Listen").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#listen-status")).to_have_text("Cancelled.")
    expect(page.get_by_role("button", name="Listen")).to_be_visible()


def test_a_microphone_that_is_refused_or_missing_is_told(playwright: Playwright, site: Server) -> None:
    with chromium(playwright) as browser, opened(browser) as page:
        page.goto(site.url)
        page.get_by_role("button", name="Listen").click()
        expect(page.locator("#listen-status")).to_contain_text("microphone")
        expect(page.get_by_role("button", name="Listen")).to_be_enabled()


def test_without_https_the_page_says_why_it_cannot_listen(browser: Browser, site: Server) -> None:
    with opened(browser) as page:
        page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
        page.goto(site.url)
        expect(page.locator("#listen-status")).to_contain_text("HTTPS")
        expect(page.get_by_role("button", name="Listen")).to_be_disabled()


def test_all_of_it_can_be_done_by_keyboard(page: Page, site: Server, files: dict[str, str]) -> None:
    page.goto(site.url)
    page.set_input_files("#file", files["known.mp3"])  # the one thing that leads out of the page
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        if reached[-1] == "send":
            break
    assert reached[:4] == ["Skip to the content", "TuneScout", "Recognise", "Catalogue"]
    assert reached[4:] == ["catalogue", "listen", "file", "start", "duration", "send"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#answer").get_by_text("In the catalogue", exact=True)).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "answer"


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, site: Server, files: dict[str, str], width: int) -> None:
    with opened(browser, viewport={"width": width, "height": 740}) as page:
        send(page, site, files["known.mp3"])
        expect(page.locator("#answer img")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.goto(f"{site.url}/catalogue")
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_unknown_answer_is_a_page_that_says_so(site: Server) -> None:
    answer = site.get("/results/nonsense")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such answer" in answer.text
    assert "<script" not in answer.text


def test_pages_run_and_show_what_comes_from_here_alone(site: Server) -> None:
    for path in ("/", "/catalogue", "/results/nonsense"):
        answer = site.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", answer.text)
        assert not re.search(r"(?:src|href)=\"https?:", answer.text)
    for file in STATIC.iterdir():
        answer = site.get(f"/static/{file.name}")
        assert answer.content == file.read_bytes() and answer.headers["ETag"]
        again = site.get(f"/static/{file.name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert site.get("/static/../pages.py").status_code == 404


# --- Colours ---------------------------------------------------------------------------------------------------------

PAIRS = [
    ("ink", "paper", 4.5),
    ("ink", "card", 4.5),
    ("soft", "paper", 4.5),
    ("soft", "card", 4.5),
    ("accent", "paper", 4.5),
    ("accent", "card", 4.5),
    ("on-accent", "accent", 4.5),
    ("good", "card", 4.5),
    ("bad", "card", 4.5),
    ("card", "bad", 4.5),
    ("edge", "paper", 3.0),
    ("edge", "card", 3.0),
]


def palettes() -> list[dict[str, str]]:
    """The colours of the light and of the dark page."""
    blocks = re.findall(r":root \{(.*?)\}", (STATIC / "style.css").read_text(), re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    assert light.keys() == dark.keys()
    return [light, dark]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("text", "ground", "least"), PAIRS)
@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_colours_stand_out(palette: dict[str, str], text: str, ground: str, least: float) -> None:
    lighter, darker = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least


# --- The catalogue ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        for seed, name in enumerate(["Alpha", "Beta <i>", "Gamma"], 95):
            assert running.fingerprint(catalogue.song(seed), song_name=name).status_code == 200
        yield running


def unlock(page: Page, server: Server, token: str = TOKEN) -> None:
    page.goto(f"{server.url}/catalogue")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Open").click()


def test_songs_are_listed_searched_renamed_and_deleted(page: Page, shelf: Server) -> None:
    unlock(page, shelf, "wrong")
    expect(page.locator("#token-error")).to_contain_text("The token is not right")
    unlock(page, shelf)
    names = page.locator("#songs strong")
    expect(names).to_have_text(["Alpha", "Beta <i>", "Gamma"])
    expect(page.locator("#songs-status")).to_have_text("3 songs.")
    page.get_by_label("Search").fill("BETA")
    expect(names).to_have_text(["Beta <i>"])
    page.get_by_role("button", name="Rename Beta <i>").click()
    page.get_by_label("New name of Beta <i>").fill("Delta")
    page.keyboard.press("Enter")
    expect(names).to_have_text(["Delta"])
    page.get_by_label("Search").fill("")
    expect(names).to_have_text(["Alpha", "Delta", "Gamma"])
    page.get_by_role("button", name="Rename Alpha").click()
    page.get_by_label("New name of Alpha").fill(" ")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").last).to_contain_text("a song needs a name")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete Gamma").click()
    page.get_by_role("button", name="Keep it").click()
    expect(names).to_have_text(["Alpha", "Delta", "Gamma"])
    page.get_by_role("button", name="Delete Gamma").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(names).to_have_text(["Alpha", "Delta"])
    assert shelf.songs_held() == 2
    page.reload()
    expect(names).to_have_text(["Alpha", "Delta"])  # the token is remembered in this tab


def test_many_files_are_added_and_failures_can_be_tried_again(page: Page, shelf: Server, tmp_path: Path) -> None:
    chosen = []
    for name, content in (
        ("New one.wav", catalogue.song(98)),
        ("Alpha again.wav", catalogue.song(95)),
        ("notes.txt", b"no music"),
    ):
        (tmp_path / name).write_bytes(content)
        chosen.append(str(tmp_path / name))
    unlock(page, shelf)
    page.set_input_files("#files", chosen)
    expect(page.locator("#upload-status")).to_have_text("3 of 3 files done.")
    lines = page.locator("#uploads > li")
    expect(lines.nth(0)).to_have_text("New one.wavadded")
    expect(lines.nth(1)).to_have_text("Alpha again.wavthere already, as Alpha")
    expect(lines.nth(2)).to_contain_text("no audio or video that can be read")
    expect(page.locator("#songs strong")).to_have_text(["Alpha", "Beta <i>", "Gamma", "New one"])
    lines.nth(2).get_by_role("button", name="Try notes.txt again").click()
    expect(page.locator("#upload-status")).to_have_text("4 of 4 files done.")


def test_without_a_token_this_machine_needs_none(page: Page, tmp_path: Path) -> None:
    with Server(tmp_path, fingerprinting={"token": None}) as open_one:
        (tmp_path / "song.wav").write_bytes(catalogue.song(99))
        page.goto(f"{open_one.url}/catalogue")
        page.set_input_files("#files", str(tmp_path / "song.wav"))
        expect(page.locator("#songs strong")).to_have_text(["song"])
        page.get_by_role("button", name="Delete song").click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.locator("#songs-status")).to_have_text("0 songs.")
