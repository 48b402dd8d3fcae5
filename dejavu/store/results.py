"""Stored answers, spread over several databases by their token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from dejavu.errors import InstancesUnavailable, StoreUnavailable, UnknownToken
from dejavu.store.availability import Availability
from dejavu.store.breaker import Breaker
from dejavu.store.placement import by_preference

Answer = TypeVar("Answer")


class ResultsStore(Protocol):
    """One database of answers. Every verb raises `StoreUnavailable` where it cannot be asked."""

    def setup(self) -> None:
        """Create what is missing; raise `FormatMismatch` where the database is laid out otherwise."""

    def put(self, token: str, answer: str) -> None:
        """Keep the JSON text of an answer under its token."""

    def get(self, token: str) -> str | None:
        """The JSON text kept under this token, to the letter, or None."""

    def check(self) -> str:
        """See whether the database could be used, changing nothing; the server's name and version.

        Raises `FormatMismatch` like `setup`, and `NotSetUp` where nobody has set it up yet.
        """

    def close(self) -> None:
        """Let go of every connection."""


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """Whether a results database can be asked, since when, why not, and how often that came to pass; for operators."""

    name: str
    up: bool
    since: datetime
    reason: str | None
    outages: int = 0


class ResultShard:
    """One results database, left alone while it is down. `name` is public; `identity` decides what is placed here."""

    def __init__(self, name: str, identity: str, store: ResultsStore, breaker: Breaker | None = None) -> None:
        self.name = name
        self.identity = identity
        self._store = store
        self._availability = Availability(name, store.setup, breaker)

    def ask(self, question: Callable[[ResultsStore], Answer]) -> Answer:
        """Put a question to the store; raises `StoreUnavailable`, at once where that is known already."""
        if not self._availability.up:
            raise StoreUnavailable(f"{self.name} is down.")
        try:
            return question(self._store)
        except StoreUnavailable as exc:
            self._availability.failed(exc)
            raise

    def status(self) -> ShardStatus:
        """How the database is, as far as known without asking it."""
        available = self._availability
        return ShardStatus(self.name, available.up, available.since, available.reason, available.outages)

    def probe(self) -> bool:
        """Try whether a database that was down can be used again, and from then on use it."""
        return self._availability.probe()

    def close(self) -> None:
        """Stop probing and let go of the database."""
        self._availability.close()
        self._store.close()


class ResultShards:
    """All results databases as one. A token has a home; where that is down, the next one in its order stands in."""

    def __init__(self, shards: Sequence[ResultShard]) -> None:
        self._shards = {shard.identity: shard for shard in shards}

    def setup(self) -> None:
        """Prepare every database that can be reached; the others are prepared when they come up.

        Raises `FormatMismatch` where one of them is laid out otherwise.
        """
        for shard in self._shards.values():
            try:
                shard.ask(lambda store: store.setup())
            except StoreUnavailable:
                continue  # noted by the shard; answers go to the others meanwhile

    def put(self, token: str, answer: str) -> None:
        """Keep an answer in the first database of the token's order that is up; raises `InstancesUnavailable`."""
        for shard in self._in_order(token):
            try:
                return shard.ask(lambda store: store.put(token, answer))
            except StoreUnavailable:
                continue
        raise InstancesUnavailable("No results database can be reached, so the answer could not be kept; try again.")

    def get(self, token: str) -> str:
        """The answer kept under this token.

        Only where its home does not have it are the others asked: the home may have been down at that time. Raises
        `UnknownToken`, and `InstancesUnavailable` where a database that may have it cannot be asked.
        """
        unavailable = []
        for shard in self._in_order(token):
            try:
                answer = shard.ask(lambda store: store.get(token))
            except StoreUnavailable:
                unavailable.append(shard.name)
                continue
            if answer is not None:
                return answer
        if unavailable:
            names = ", ".join(sorted(unavailable))
            raise InstancesUnavailable(f"This result may be in {names}, which cannot be reached; try again later.")
        raise UnknownToken("No result was kept under this token.")

    def status(self) -> list[ShardStatus]:
        """How each database is, in the order of the configuration."""
        return [shard.status() for shard in self._shards.values()]

    def close(self) -> None:
        """Let go of every database."""
        for shard in self._shards.values():
            shard.close()

    def _in_order(self, token: str) -> Iterator[ResultShard]:
        return (self._shards[identity] for identity in by_preference(token, self._shards))
