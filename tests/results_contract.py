"""What every results database has to do, as tests that each store's file runs.

A subclass gives the fixture `opener`: a callable that opens a store on one database, the same one every time, which is
empty and not set up when a test begins.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from driver_data import NAMES

from dejavu.errors import NotSetUp
from dejavu.store.results import ResultsStore

Opener = Callable[[], ResultsStore]

ANSWER = '{"status": "success",  "results": [{"song_name": "Sigur Rós – ( ) 🎵", "confidence": 1.0}]}\n'

NOT_TOKENS = ("", "'", "' OR '1'='1", "x'; DROP TABLE result; --", "🎵" * 20, "%", "_" * 20, "\\", "%(token)s")


def new_token() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))


class ResultsContract:
    """Inherit from this and provide `opener`."""

    @pytest.fixture
    def store(self, opener: Opener) -> Iterator[ResultsStore]:
        store = opener()
        store.setup()
        yield store
        store.close()

    def test_an_answer_comes_back_to_the_letter_everywhere_and_at_once(
        self, store: ResultsStore, opener: Opener
    ) -> None:
        answers = {new_token(): answer for answer in (ANSWER, *NAMES.values(), ANSWER * 1000)}
        elsewhere = opener()
        for token, answer in answers.items():
            store.put(token, answer)
            assert elsewhere.get(token) == answer
        elsewhere.close()
        assert {token: store.get(token) for token in answers} == answers

    def test_tokens_differ_by_case(self, store: ResultsStore) -> None:
        store.put("a" * 20, "small")
        assert store.get("A" * 20) is None
        store.put("A" * 20, "large")
        assert (store.get("a" * 20), store.get("A" * 20)) == ("small", "large")

    def test_what_is_no_token_finds_nothing_and_harms_nothing(self, store: ResultsStore) -> None:
        token = new_token()
        store.put(token, ANSWER)
        assert [store.get(text) for text in NOT_TOKENS] == [None] * len(NOT_TOKENS)
        assert store.get(token) == ANSWER

    def test_several_threads_keep_and_fetch_at_once(self, store: ResultsStore) -> None:
        def keep_and_fetch(_: int) -> bool:
            token = new_token()
            store.put(token, token * 50)
            return store.get(token) == token * 50

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(keep_and_fetch, range(80)))

    def test_setting_up_again_keeps_everything(self, store: ResultsStore, opener: Opener) -> None:
        token = new_token()
        store.put(token, ANSWER)
        again = opener()
        again.setup()
        assert again.get(token) == ANSWER
        again.close()

    def test_checking_says_what_it_is_and_changes_nothing(self, opener: Opener) -> None:
        new = opener()
        for _ in range(2):
            with pytest.raises(NotSetUp):
                new.check()
        new.setup()
        assert re.fullmatch(r"[A-Z]\w+ \d[\w.+-]*", new.check())
        new.close()
