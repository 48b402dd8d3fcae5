"""Every statement that is sent to ClickHouse.

They are in one place because all of them have to mean the same on every release from 18.16 (which Debian ships) to
today's, and a test runs each one on both. Values are never written into a statement: rows and tables of values travel
beside it, single ones as %(name)s, escaped by the client library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dejavu.config.settings import SEARCH_MAX_WORDS


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns with their types, how it is kept, and how many rows lie between two marks of its index."""

    name: str
    columns: Mapping[str, str]
    engine: str
    index_granularity: int
    added: tuple[str, ...] = ()
    """Columns that tables of earlier versions lack."""

    @property
    def create(self) -> str:
        """The statement for a release whose blocks can only be made small in the server's own profile."""
        columns = ", ".join(f"{name} {type_}" for name, type_ in self.columns.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}) ENGINE = {self.engine} "
            f"SETTINGS index_granularity = {self.index_granularity}"
        )

    @property
    def create_tuned(self) -> str:
        """The statement for a release where a table may say how it wants to be stored."""
        return f"{self.create}, {SMALL_BLOCKS}, {DURABLE}"

    def add(self, column: str) -> str:
        """The statement that adds one of the columns that came later; refused where it is there."""
        return f"ALTER TABLE {self.name} ADD COLUMN {column} {self.columns[column]}"


SMALL_BLOCK_BYTES = 8192

SMALL_BLOCKS = f"min_compress_block_size = {SMALL_BLOCK_BYTES // 2}, max_compress_block_size = {SMALL_BLOCK_BYTES}"
"""A look-up is thousands of tiny ranges, and each decompresses a block: with the usual ones of 64 KiB and more it takes
three to four times as long."""

DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"
"""What was acknowledged survives a power failure."""

FORMAT = Table("catalogue_format", {"version": "UInt32", "digest": "String"}, "MergeTree ORDER BY version", 8192)
"""The format settings that the catalogue was made with: one row."""

SONG = Table(
    "song",
    {
        **{"song_id": "UInt32", "sha1": "String", "name": "String", "total_hashes": "UInt32", "edition": "UInt64"},
        **{"about": "String", "search_key": "String"},
    },
    "MergeTree ORDER BY song_id",
    1024,
    added=("about", "search_key"),
)
"""A song is in the catalogue when it is here, which it is after all of its fingerprints. `edition` is a random number
that tells it from the same song stored earlier or later."""

BEGUN = Table("begun", {"song_id": "UInt32"}, "MergeTree ORDER BY song_id", 1024)
"""Songs of which there may be fingerprints: all in the catalogue, those being stored or deleted, and what was killed
meanwhile left behind. It saves looking for leftovers among all the fingerprints."""

FINGERPRINT = Table(
    "fingerprint",
    {"hash": "UInt32", "song_id": "UInt32", "offset": "UInt32"},
    "ReplacingMergeTree ORDER BY (hash, song_id, offset)",
    1024,
)

STRETCH = Table(
    "stretch",
    {"song_id": "UInt32", "number": "UInt32", "packed": "String"},
    "ReplacingMergeTree ORDER BY (song_id, number)",
    16,  # a stretch is a kilobyte, and all between two marks are read
)

RESULT = Table(
    "result",
    {"token": "String", "answer": "String", "stored_at": "DateTime DEFAULT now()"},
    "MergeTree ORDER BY token",
    64,  # an answer is some kilobytes, and all between two marks are read
)

CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS {}"
"""Takes a quoted name, which cannot be a parameter."""

COLUMNS_OF = """
    SELECT table, name FROM system.columns
    WHERE database = currentDatabase() AND table IN %(tables)s
"""

BLOCK_BYTES = "SELECT toUInt64(value) FROM system.settings WHERE name = 'max_compress_block_size'"

READ_FORMAT = "SELECT version, digest FROM catalogue_format"
WRITE_FORMAT = "INSERT INTO catalogue_format (version, digest) VALUES"

# The id comes from the SHA-1 and leads to the row by the table's key.
FIND_SONG = """
    SELECT song_id, name, sha1, total_hashes, about FROM song
    WHERE song_id IN (SELECT song_id FROM asked) AND sha1 = %(sha1)s
"""
SONGS = "SELECT song_id, name, sha1, total_hashes, about FROM song WHERE song_id IN (SELECT song_id FROM asked)"
LIST_SONGS = """
    SELECT song_id, name, sha1, total_hashes, about FROM song
    WHERE song_id >= %(first)s ORDER BY song_id LIMIT %(limit)s
"""

# Releases differ in what is at place 1 of what: an empty word is asked for nowhere.
_WORDS = " AND ".join(
    f"(%(word_{number})s = '' OR position(search_key, %(word_{number})s) > 0)" for number in range(SEARCH_MAX_WORDS)
)
_WANTED = f"(({_WORDS}) OR (%(sha1_start)s != '' AND startsWith(sha1, %(sha1_start)s)))"
FIND_SONGS = f"""
    SELECT song_id, name, sha1, total_hashes, about FROM song
    WHERE (search_key > %(key)s OR (search_key = %(key)s AND sha1 > %(sha1)s)) AND {_WANTED}
    ORDER BY search_key, sha1 LIMIT %(limit)s
"""  # noqa: S608 - put together from constants
COUNT_SONGS = f"SELECT count() FROM song WHERE {_WANTED}"  # noqa: S608 - likewise
WITHOUT_KEY = "SELECT song_id, name, about FROM song WHERE search_key = '' ORDER BY song_id LIMIT %(limit)s"
SET_KEYS = """
    ALTER TABLE song UPDATE search_key = transform(song_id, %(from_ids)s, %(keys)s, search_key)
    WHERE song_id IN %(song_ids)s
"""
COUNTS = "SELECT count(), sum(total_hashes) FROM song"

# The fingerprints of a song that is being stored or deleted are there before and after the song is. bitOr keeps the
# server from looking for the songs in its index: 12 ms instead of 18, and with 100,000 songs 18 instead of 30.
POSTINGS = """
    SELECT hash, song_id, offset FROM fingerprint
    PREWHERE hash IN (SELECT hash FROM asked)
    WHERE bitOr(song_id, toUInt32(0)) IN (SELECT song_id FROM song)
"""

# The sum of random numbers is that of no other set of them. It changes with the rows that POSTINGS goes by.
REVISION = "SELECT count(), sum(edition) FROM song"

# Of a song that was being stored twice, by somebody cut off and by his successor, there may be rows twice. GROUP BY
# removes them; DISTINCT before ORDER BY does not always, on 18.16.
WHOLE_SONGS = """
    SELECT song_id, hash, offset FROM fingerprint
    WHERE song_id IN (SELECT song_id FROM asked) AND song_id IN (SELECT song_id FROM song)
    GROUP BY song_id, hash, offset ORDER BY song_id, hash, offset
"""

# The songs that are asked for are looked for in their table's index, so that this costs the same in any catalogue.
STRETCHES = """
    SELECT song_id, number, packed FROM stretch
    WHERE (song_id, number) IN (SELECT song_id, number FROM asked)
    AND song_id IN (SELECT song_id FROM song WHERE song_id IN (SELECT song_id FROM asked))
"""
WHOLE_STRETCHES = """
    SELECT song_id, number, packed FROM stretch
    WHERE song_id IN (SELECT song_id FROM song WHERE song_id IN (SELECT song_id FROM asked))
"""

IS_BEGUN = "SELECT count() FROM begun WHERE song_id = %(song_id)s"
LEFTOVERS = """
    SELECT song_id FROM (
        SELECT song_id FROM begun UNION ALL SELECT song_id FROM fingerprint UNION ALL SELECT song_id FROM stretch
    ) AS begun_or_stored
    WHERE song_id NOT IN (SELECT song_id FROM song) GROUP BY song_id ORDER BY song_id
"""

WRITE_BEGUN = "INSERT INTO begun (song_id) VALUES"
WRITE_FINGERPRINTS = "INSERT INTO fingerprint (hash, song_id, offset) VALUES"
WRITE_STRETCHES = "INSERT INTO stretch (song_id, number, packed) VALUES"
WRITE_SONG = "INSERT INTO song (song_id, name, sha1, total_hashes, edition, about, search_key) VALUES"

RENAME_SONG = "ALTER TABLE song UPDATE name = %(name)s, search_key = %(key)s WHERE song_id = %(song_id)s"
DELETE_SONG = "ALTER TABLE song DELETE WHERE song_id = %(song_id)s"
DELETE_FINGERPRINTS = "ALTER TABLE fingerprint DELETE WHERE song_id = %(song_id)s"
DELETE_STRETCHES = "ALTER TABLE stretch DELETE WHERE song_id = %(song_id)s"
DELETE_BEGUN = "ALTER TABLE begun DELETE WHERE song_id = %(song_id)s"
UNFINISHED_CHANGES = """
    SELECT count() FROM system.mutations
    WHERE database = currentDatabase() AND table = %(table)s AND NOT is_done
"""

WRITE_RESULT = "INSERT INTO result (token, answer) VALUES"
READ_RESULT = "SELECT answer FROM result WHERE token = %(token)s LIMIT 1"
