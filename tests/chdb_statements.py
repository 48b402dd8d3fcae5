"""Runs every ClickHouse statement on today's engine; a program, because chdb takes 250 MB and can open one folder only.

Ends with an error where one is refused, gives something wrong, or is not tried.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chdb.session import Session
from clickhouse_driver.util.escape import escape_params

from dejavu.config.settings import SEARCH_MAX_WORDS
from dejavu.store import clickhouse_sql as sql

NAME = "Rock 'n' \"Roll\"; DROP TABLE song; -- \\' %s 🎵"
SHA1 = "ab" * 20
SONG, OTHER, LEFT_OVER = 0xABABABAB, 2**32 - 1, 7
FINGERPRINTS = [(0, SONG, 5), (9, SONG, 2**32 - 1), (9, OTHER, 4), (9, LEFT_OVER, 6), (2**32 - 1, OTHER, 0)]

STRETCHES = [(SONG, 0, "zero"), (SONG, 9, "nine"), (OTHER, 9, NAME), (LEFT_OVER, 9, "left over")]


class Engine:
    """One database, to which statements are sent as the driver would; remembers which were."""

    def __init__(self, folder: str) -> None:
        self._session = Session(folder)
        self.tried: set[str] = set()

    def run(self, statement: str, **values: Any) -> list[list[Any]]:
        """The rows that a statement of the driver gives."""
        self.tried.add(statement)
        text = statement % escape_params(values, None) if values else statement
        return self._send(text)

    def insert(self, statement: str, *rows: tuple[Any, ...]) -> None:
        """The rows travel beside the statement otherwise, and within it here."""
        self.tried.add(statement)
        values = [f"({', '.join(str(escape_params({'v': value}, None)['v']) for value in row)})" for row in rows]
        self._send(f"{statement} {', '.join(values)}")

    def ask_for(self, *rows: dict[str, int]) -> None:
        """Make the table that otherwise travels beside a statement."""
        self._send("DROP TABLE IF EXISTS asked")
        self._send(f"CREATE TABLE asked ({', '.join(f'{column} UInt32' for column in rows[0])}) ENGINE = Memory")
        values = [f"({', '.join(map(str, row.values()))})" for row in rows]
        self._send(f"INSERT INTO asked VALUES {', '.join(values)}")

    def change(self, table: sql.Table, statement: str, **values: Any) -> None:
        self.run(statement, **values)
        while self.run(sql.UNFINISHED_CHANGES, table=table.name) != [[0]]:
            pass

    def _send(self, text: str) -> list[list[Any]]:
        answer = str(self._session.query(text, "JSONCompactEachRow"))
        return [json.loads(line) for line in answer.splitlines()]

    def use(self, database: str) -> None:
        self._send(f"USE {database}")


def create(engine: Engine) -> None:
    engine.tried.add(sql.CREATE_DATABASE)
    engine.run(sql.CREATE_DATABASE.format("`a catalogue`"))
    engine.use("`a catalogue`")
    for table in TABLES:
        engine.run(table.create)
        engine._send(f"DROP TABLE {table.name}")
        engine.run(table.create_tuned)
        engine.run(table.create_tuned)
        for column in table.added:
            engine._send(f"ALTER TABLE {table.name} DROP COLUMN {column}")
            engine.run(table.add(column))
    columns = engine.run(sql.COLUMNS_OF, tables=tuple(table.name for table in TABLES))
    assert {tuple(row) for row in columns} == {(table.name, column) for table in TABLES for column in table.columns}
    assert int(engine.run(sql.BLOCK_BYTES)[0][0]) > 0


def fill(engine: Engine) -> None:
    assert engine.run(sql.READ_FORMAT) == []
    engine.insert(sql.WRITE_FORMAT, (1, "digest"))
    assert engine.run(sql.READ_FORMAT) == [[1, "digest"]]
    assert engine.run(sql.IS_BEGUN, song_id=SONG) == [[0]]
    engine.insert(sql.WRITE_BEGUN, (SONG,), (OTHER,), (LEFT_OVER,))
    assert engine.run(sql.IS_BEGUN, song_id=SONG) == [[1]]
    engine.insert(sql.WRITE_FINGERPRINTS, *FINGERPRINTS)
    engine.insert(sql.WRITE_FINGERPRINTS, *FINGERPRINTS[:1])
    engine.insert(sql.WRITE_STRETCHES, *STRETCHES)
    assert engine.run(sql.COUNTS) == [[0, 0]]
    assert engine.run(sql.REVISION) == [[0, 0]]
    engine.insert(
        sql.WRITE_SONG, (SONG, NAME, SHA1, 2, 2**64 - 1, "{}", "rock roll"), (OTHER, "other", "ff" * 20, 2, 3, "", "")
    )
    assert engine.run(sql.COUNTS) == [[2, 4]]
    assert engine.run(sql.REVISION) == [[2, 2]]


def ask(engine: Engine) -> None:
    song, other = [SONG, NAME, SHA1, 2, "{}"], [OTHER, "other", "ff" * 20, 2, ""]
    engine.ask_for(*({"song_id": id_} for id_ in (SONG, 1, OTHER, LEFT_OVER)))
    assert engine.run(sql.FIND_SONG, sha1=SHA1) == [song]
    assert engine.run(sql.FIND_SONG, sha1=NAME) == []
    assert sorted(engine.run(sql.SONGS)) == [song, other]
    assert engine.run(sql.LIST_SONGS, first=0, limit=1) == [song]
    assert engine.run(sql.LIST_SONGS, first=SONG + 1, limit=10) == [other]
    whole = [[SONG, 0, 5], [SONG, 9, 2**32 - 1], [OTHER, 9, 4], [OTHER, 2**32 - 1, 0]]
    assert engine.run(sql.WHOLE_SONGS) == whole
    assert sorted(engine.run(sql.WHOLE_STRETCHES)) == [[SONG, 0, "zero"], [SONG, 9, "nine"], [OTHER, 9, NAME]]
    pairs = [(SONG, 9), (SONG, 1), (OTHER, 0), (OTHER, 9), (LEFT_OVER, 9)]
    engine.ask_for(*({"song_id": id_, "number": number} for id_, number in pairs))
    assert sorted(engine.run(sql.STRETCHES)) == [[SONG, 9, "nine"], [OTHER, 9, NAME]]
    engine.ask_for(*({"hash": hash_} for hash_ in (9, 10, 2**32 - 1)))
    assert sorted(engine.run(sql.POSTINGS)) == [[9, SONG, 2**32 - 1], [9, OTHER, 4], [2**32 - 1, OTHER, 0]]
    assert engine.run(sql.LEFTOVERS) == [[LEFT_OVER]]


def change(engine: Engine) -> None:
    song, other = [SONG, NAME, SHA1, 2, "{}"], [OTHER, "other", "ff" * 20, 2, ""]
    assert engine.run(sql.WITHOUT_KEY, limit=9) == [[OTHER, "other", ""]]
    engine.change(sql.SONG, sql.SET_KEYS, song_ids=(OTHER, 5), from_ids=[OTHER, 5], keys=["other \\'s", "five"])
    assert engine.run(sql.WITHOUT_KEY, limit=9) == []
    words = {f"word_{number}": "" for number in range(SEARCH_MAX_WORDS)}
    every = {**words, "sha1_start": ""}
    assert engine.run(sql.FIND_SONGS, key="", sha1="", limit=9, **every) == [other, song]
    assert engine.run(sql.FIND_SONGS, key="other \\'s", sha1="ff" * 20, limit=9, **every) == [song]
    rolls = {**every, "word_1": "roll"}
    assert engine.run(sql.FIND_SONGS, key="", sha1="", limit=9, **rolls) == [song]
    assert engine.run(sql.COUNT_SONGS, **{**rolls, "sha1_start": "ff"}) == [[2]]
    engine.change(sql.SONG, sql.RENAME_SONG, song_id=OTHER, name=NAME, key="key")
    assert [row[1] for row in engine.run(sql.LIST_SONGS, first=OTHER, limit=1)] == [NAME]
    engine.change(sql.SONG, sql.DELETE_SONG, song_id=SONG)
    assert engine.run(sql.LEFTOVERS) == [[LEFT_OVER], [SONG]]
    for song_id in (SONG, LEFT_OVER):
        engine.change(sql.FINGERPRINT, sql.DELETE_FINGERPRINTS, song_id=song_id)
        engine.change(sql.BEGUN, sql.DELETE_BEGUN, song_id=song_id)
        assert [song_id] in engine.run(sql.LEFTOVERS)
        engine.change(sql.STRETCH, sql.DELETE_STRETCHES, song_id=song_id)
    assert engine.run(sql.LEFTOVERS) == []
    engine.ask_for(*({"hash": hash_} for hash_ in (9, 10, 2**32 - 1)))
    assert len(engine.run(sql.POSTINGS)) == 2
    engine.ask_for({"song_id": SONG}, {"song_id": OTHER})
    assert engine.run(sql.WHOLE_STRETCHES) == [[OTHER, 9, NAME]]


def keep_results(engine: Engine) -> None:
    engine.insert(sql.WRITE_RESULT, ("token", NAME))
    assert engine.run(sql.READ_RESULT, token="token") == [[NAME]]
    assert engine.run(sql.READ_RESULT, token="' OR '1'='1") == []


def written() -> dict[str, str]:
    """Every statement there is, by name."""
    constants = {name: value for name, value in vars(sql).items() if name.isupper() and name[0] != "_"}
    statements = {name: value for name, value in constants.items() if isinstance(value, str) and name not in PARTS}
    for table in TABLES:
        statements |= {f"{table.name}.create": table.create, f"{table.name}.create_tuned": table.create_tuned}
        statements |= {f"{table.name}.add {column}": table.add(column) for column in table.added}
    return statements


TABLES = [value for value in vars(sql).values() if isinstance(value, sql.Table)]
PARTS = ("SMALL_BLOCKS", "DURABLE")

if __name__ == "__main__":
    engine = Engine(sys.argv[1])
    for step in (create, fill, ask, change, keep_results):
        step(engine)
    untried = [name for name, statement in written().items() if statement not in engine.tried]
    assert not untried, f"never tried: {untried}"
