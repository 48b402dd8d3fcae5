"""Which databases there can be, and how one of them is written in config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from dejavu.config.section import Section

ServerType = Literal["mysql", "clickhouse"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORTS: Mapping[ServerType, int] = {"mysql": 3306, "clickhouse": 9000}
DATABASE_TYPES = ("sqlite", *DEFAULT_PORTS)
HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """A file on this machine; `path` is absolute."""

    path: Path

    @property
    def type(self) -> Literal["sqlite"]:
        """The `database_type` of config.json."""
        return "sqlite"

    @property
    def identity(self) -> str:
        """What makes this database another one than the next; placement hashes it, so it never holds a secret."""
        return f"sqlite:{self.path}"


@dataclass(frozen=True, slots=True)
class ServerDatabase:
    """A database of a MySQL or ClickHouse server; a user or password of None leaves it to the server's default."""

    type: ServerType
    host: str
    port: int
    database: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """What makes this database another one than the next; without user and password, which may change."""
        return f"{self.type}:{self.host.lower()}:{self.port}/{self.database}"


Database = SqliteDatabase | ServerDatabase


def read_database(owner: Section, folder: Path, environment: Mapping[str, str]) -> Database | None:
    """Read `database_type` and `database` of one element of `instances` or `results`.

    Relative paths are relative to `folder`. None where the type is unknown or missing, which `owner` then has noted.
    """
    chosen = owner.choice("database_type", DATABASE_TYPES)
    section = owner.section("database")
    if chosen is None:
        return None
    if chosen == "sqlite":
        path = section.text("path")
        section.finish()
        return SqliteDatabase((folder / path).resolve())
    server_type = cast(ServerType, chosen)
    own_variable = f"TUNESCOUT_{owner.path.upper().replace('[', '_').replace(']', '')}_PASSWORD"
    written = section.secret("password")
    database = ServerDatabase(
        type=server_type,
        host=section.text("host", DEFAULT_HOST),
        port=section.integer("port", DEFAULT_PORTS[server_type], 1, HIGHEST_PORT),
        database=section.text("database"),
        user=section.optional_text("user"),
        password=environment.get(own_variable) or written or environment.get("TUNESCOUT_DATABASE_PASSWORD") or None,
    )
    section.finish()
    return database
