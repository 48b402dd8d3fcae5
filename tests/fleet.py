"""One service over real servers of every kind, as operators run it, and clients that keep asking it."""

from __future__ import annotations

import hashlib
import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import media
from clickhouse import ClickHouseServer
from mariadb import MariaDB
from redis_server import PASSWORD, PREFIX, USER, RedisServer
from servers import DEADLINE_SECONDS, Server

from dejavu.config.database import Database, SqliteDatabase
from dejavu.store.placement import by_preference

SAMPLE_RATE = 11_025
SONG_SECONDS = 8
CLIENTS = 10


@dataclass(frozen=True, slots=True)
class Song:
    """A tiny song, a clip from its middle, and the name of the instance where placement wants it."""

    media: bytes
    clip: bytes
    sha1: str
    home: str


def new_songs(databases: Mapping[str, Database], seeds: Iterator[int]) -> dict[str, Song]:
    """One song that belongs on each of these instances, by the instance's name."""
    names = {database.identity: name for name, database in databases.items()}
    found: dict[str, Song] = {}
    while len(found) < len(databases):
        samples = media.music(SONG_SECONDS, sample_rate=SAMPLE_RATE, seed=next(seeds))
        whole = media.wav(samples, SAMPLE_RATE)
        sha1 = hashlib.sha1(whole).hexdigest()
        home = names[by_preference(sha1, names)[0]]
        clip = media.wav(samples[2 * SAMPLE_RATE : 7 * SAMPLE_RATE], SAMPLE_RATE)
        found.setdefault(home, Song(whole, clip, sha1, home))
    return found


def section(database: Database, redis_db_index: int | None = None) -> dict[str, Any]:
    """How config.json says it."""
    if isinstance(database, SqliteDatabase):
        place: dict[str, Any] = {"path": str(database.path)}
    else:
        place = {name: getattr(database, name) for name in ("host", "port", "user", "password", "database")}
    index = {} if redis_db_index is None else {"redis_db_index": redis_db_index}
    return {"database_type": database.type, "database": place, **index}


class Killable(Protocol):
    """A server of a test's own."""

    def start(self) -> None: ...

    def kill(self) -> None: ...


@contextmanager
def killed(*servers: Killable) -> Iterator[None]:
    """Without these servers; they run again in the end, whatever happens."""
    for server in servers:
        server.kill()
    try:
        yield
    finally:
        for server in servers:
            server.start()


class Fleet:
    """Two ClickHouse servers and a MariaDB for fingerprints, two of them for results as well, and Redis in front.

    `service` is a running service over all of it, `databases` are its instances by name, and `servers` what they are
    on. `songs`: one on each of them.
    """

    def __init__(self, folder: Path, clickhouse: ClickHouseServer, mariadb: MariaDB) -> None:
        self._folder = folder
        self._opened = ExitStack()
        self._seeds = itertools.count(9000)
        self._clickhouse, self.mariadb = clickhouse, mariadb

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            other = opened.enter_context(ClickHouseServer(self._folder / "clickhouse"))
            self.redis = opened.enter_context(RedisServer(self._folder / "redis"))
            name = f"fleet `of\\ {uuid.uuid4().hex}"
            opened.callback(self._clickhouse.drop_database, name)
            self.databases: dict[str, Database] = {
                "instances[0]": self._clickhouse.database(name),
                "instances[1]": other.database(name),
                "instances[2]": opened.enter_context(self.mariadb.fresh_database()),
            }
            self.servers: dict[str, Killable] = dict(
                zip(self.databases, (self._clickhouse, other, self.mariadb), strict=True)
            )
            self.service = opened.enter_context(self.new_service("service"))
            self.songs = self.new_songs()
            for song in self.songs.values():
                assert self.service.fingerprint(song.media).status_code == 200
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def new_service(self, name: str) -> Server:
        """One more service over the same databases, to be entered."""
        folder = self._folder / name
        folder.mkdir()
        return Server(
            folder,
            instances=[section(database, index) for index, database in enumerate(self.databases.values(), start=1)],
            results=[section(self.databases["instances[2]"]), section(self.databases["instances[1]"])],
            redis={"host": "127.0.0.1", "port": self.redis.port, "user": USER, "password": PASSWORD, "prefix": PREFIX},
        )

    def new_songs(self) -> dict[str, Song]:
        """Songs that nobody has had yet, one for each instance."""
        return new_songs(self.databases, self._seeds)


@dataclass(frozen=True, slots=True)
class Asked:
    """One answered request; `began` and `ended` are readings of `time.monotonic`, to tell what came first."""

    song: Song
    began: float
    ended: float
    status: int
    document: dict[str, Any]

    @property
    def unavailable(self) -> list[str]:
        """The instances that it was answered without."""
        names: list[str] = self.document["unavailable"]
        return names

    def assert_right(self) -> None:
        """It names the song, or, where that is out of reach, the instance that may have one, and never another."""
        assert self.status == 200, self.document
        found = [result["file_sha1"] for result in self.document["results"]]
        assert found == ([] if self.song.home in self.unavailable else [self.song.sha1]), self.document


def ask(server: Server, song: Song) -> Asked:
    """Have a service recognise a song's clip."""
    began = time.monotonic()
    response = server.recognize(song.clip)
    return Asked(song, began, time.monotonic(), response.status_code, response.json())


class Load:
    """Clients that ask for one song after the other while a `with` block runs; a request that fails fails the block."""

    def __init__(self, server: Server, songs: Sequence[Song], clients: int = CLIENTS) -> None:
        self.answers: list[Asked] = []
        self._server, self._songs = server, songs
        self._came = threading.Condition()
        self._stop = threading.Event()
        self._clients = ThreadPoolExecutor(clients)
        self._asking = [self._clients.submit(self._ask_on, first) for first in range(clients)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._clients.shutdown()
        for asking in self._asking:
            asking.result()

    def _ask_on(self, first: int) -> None:
        for place in itertools.count(first):
            if self._stop.is_set():
                return
            answer = ask(self._server, self._songs[place % len(self._songs)])
            with self._came:
                self.answers.append(answer)
                self._came.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until so many answers have come that it is so."""
        with self._came:
            assert self._came.wait_for(condition, DEADLINE_SECONDS), f"not within {len(self.answers)} answers"

    def wait_for_answers(self, count: int) -> float:
        """Wait for so many answers to requests that begin from now on; what the clock says then."""
        now = time.monotonic()
        self.wait_for(lambda: len(self.begun_after(now)) >= count)
        return time.monotonic()

    def begun_after(self, moment: float) -> list[Asked]:
        """The answers to requests that began later than this."""
        return [answer for answer in self.answers if answer.began > moment]


class Silence:
    """An address that takes whatever is sent to it and never answers. `most` is how many were connected at once."""

    def __init__(self) -> None:
        self.most = 0
        self._connected = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def forget(self) -> None:
        """Count anew from those that are connected now."""
        with self._lock:
            self.most = self._connected

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._count(1)
            threading.Thread(target=self._swallow, args=(connection,), daemon=True).start()

    def _swallow(self, connection: socket.socket) -> None:
        try:
            while connection.recv(65_536):
                pass
        except ConnectionError:
            pass
        finally:
            connection.close()
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._lock:
            self._connected += more
            self.most = max(self.most, self._connected)
