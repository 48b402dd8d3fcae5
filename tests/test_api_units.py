"""The web layer's pure functions: addresses, rights, names and numbers."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address, ip_network

import pytest
from werkzeug.datastructures import Headers

from dejavu import errors
from dejavu.config.deployment import Deployment, FingerprintingConfig, ServerConfig
from dejavu.config.settings import CLIENT_IDLE_SECONDS
from dejavu.web.access import client_address, rate_limit_key, require_catalogue_access
from dejavu.web.errors import ANSWERS
from dejavu.web.requests import default_song_name
from dejavu.web.server import listen

TRUSTED = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "203.0.113.1", "192.0.2.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("127.0.0.1", "203.0.113.1, 10.1.2.3", "203.0.113.1"),
        ("127.0.0.1", "203.0.113.1, 198.51.100.2, 10.1.2.3", "198.51.100.2"),
        ("127.0.0.1", "127.0.0.1, 198.51.100.2", "198.51.100.2"),
        ("127.0.0.1", "198.51.100.2:4711", "198.51.100.2"),
        ("127.0.0.1", "[2001:db9::1]:4711", "2001:db9::1"),
        ("2001:db8::1", "2001:db9::1", "2001:db9::1"),
        ("::ffff:127.0.0.1", "198.51.100.2", "198.51.100.2"),
        ("127.0.0.1", "198.51.100.2, unknown", "127.0.0.1"),
        ("127.0.0.1", " , ,", "127.0.0.1"),
    ],
)
def test_a_client_is_the_nearest_address_that_is_no_trusted_proxy(peer: str, forwarded_for: str, client: str) -> None:
    assert client_address(peer, forwarded_for, TRUSTED) == ip_address(client)


def test_a_peer_without_an_address_is_nobody() -> None:
    assert client_address("", "127.0.0.1", TRUSTED) is None


def test_an_ipv6_client_is_its_network() -> None:
    assert rate_limit_key(ip_address("2001:db8:1:2:3::4")) == rate_limit_key(ip_address("2001:db8:1:2::9"))
    assert rate_limit_key(ip_address("192.0.2.1")) != rate_limit_key(ip_address("192.0.2.2"))


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("Bearer secret", True),
        ("bearer  secret ", True),
        ("Bearer Secret", False),
        ("Bearer", False),
        ("Bearer secre", False),
        ("Bearer secret2", False),
        ("Bearer s\xe9cret", False),
        ("Basic secret", False),
        ("secret", False),
        ("", False),
    ],
)
def test_a_configured_token_decides(header: str, allowed: bool) -> None:
    deployment = Deployment((), (), FingerprintingConfig(token="secret"))
    assert is_let_in(deployment, "127.0.0.1", {"Authorization": header}) is allowed
    assert is_let_in(deployment, "192.0.2.1", {"Authorization": header}) is allowed


@pytest.mark.parametrize(
    ("peer", "headers", "allowed"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.8.8", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("192.0.2.1", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, False),
        ("10.0.0.1", {}, False),
        ("10.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, True),
        ("10.0.0.1", {"X-Forwarded-For": "127.0.0.1, 192.0.2.1"}, False),
        ("10.0.0.1", {"X-Real-IP": "127.0.0.1"}, False),
        ("127.0.0.1", {"Origin": "https://evil.example"}, False),
        ("127.0.0.1", {"Origin": "null"}, False),
        ("127.0.0.1", {"Origin": "https://player.example"}, True),
        ("127.0.0.1", {"Host": "localhost:8000"}, True),
        ("127.0.0.1", {"Host": "LOCALHOST"}, True),
        ("127.0.0.1", {"Host": "[::1]:8000"}, True),
        ("127.0.0.1", {"Host": "evil.example:8000"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1.evil.example"}, False),
        ("127.0.0.1", {"Host": "localhost.evil.example"}, False),
        ("10.0.0.1", {"Host": "songs.example", "X-Forwarded-For": "127.0.0.1"}, True),
        ("127.0.0.1", {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}, True),
        ("127.0.0.1", {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"}, True),
        ("127.0.0.1", {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8001"}, False),
        ("127.0.0.1", {"Host": "localhost:8000", "Origin": "http://127.0.0.1:8000"}, False),
        ("127.0.0.1", {"Host": "evil.example", "Origin": "http://evil.example"}, False),
    ],
)
def test_without_a_token_only_this_machine_is_let_in(peer: str, headers: dict[str, str], allowed: bool) -> None:
    proxies = ServerConfig((ip_network("10.0.0.0/8"),))
    deployment = Deployment((), (), allowed_origins=("https://player.example", "*"), server=proxies)
    assert is_let_in(deployment, peer, headers) is allowed


def is_let_in(deployment: Deployment, peer: str, headers: dict[str, str]) -> bool:
    try:
        require_catalogue_access(deployment, peer, Headers(headers))
    except errors.NotAuthorized:
        return False
    return True


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("AC/DC - T.N.T..mp3", "AC/DC - T.N.T."),
        ("Sigur Rós – ( ).flac", "Sigur Rós – ( )"),
        ("clip.3gp", "clip"),
        ("clip.MP3", "clip"),
        ("T.N.T", "T.N.T"),
        ("Mr. Brightside", "Mr. Brightside"),
        ("No. 5", "No. 5"),
        ("Symphony No.22", "Symphony No.22"),
        (".mp3", ".mp3"),
        ("archive.tar.gz", "archive.tar"),
        ('He said "no".ogg', 'He said "no"'),
        (r"C:\Music\Band\Song.wma", "Song"),
        (r"C:\Song.wma", "Song"),
        (r"back\slash.wav", r"back\slash"),
        (" spaces .mp3", " spaces "),
        ("two\nlines.mp3", "two\nlines"),
        ("", ""),
    ],
)
def test_a_song_is_called_like_its_file(filename: str, name: str) -> None:
    assert default_song_name(filename) == name


def test_a_connection_is_given_up_when_its_client_falls_silent() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                patience = connection.getsockopt(socket.SOL_SOCKET, direction, struct.calcsize("ll"))
                assert struct.unpack("ll", patience) == (CLIENT_IDLE_SECONDS, 0)


def test_every_error_that_a_request_may_end_in_has_its_answer() -> None:
    def leaves(kind: type[errors.TuneScoutError]) -> set[type[errors.TuneScoutError]]:
        below = kind.__subclasses__()
        return set().union(*(leaves(each) for each in below)) if below else {kind}

    at_start_only = {errors.ConfigError, errors.FormatMismatch}
    ours = {kind for kind in leaves(errors.TuneScoutError) if kind.__module__ == errors.__name__}
    unanswered = {kind for kind in ours if not set(kind.__mro__) & set(ANSWERS)}
    assert unanswered == at_start_only
    codes = [code for _, code in ANSWERS.values()]
    assert len(set(codes)) == len(codes)
