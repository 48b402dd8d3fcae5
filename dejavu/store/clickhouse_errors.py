"""How the trouble of a ClickHouse server is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_driver import errors as library

from dejavu.errors import StoreError, StoreUnavailable

_Code = library.ErrorCodes

_REFUSED = (_Code.UNKNOWN_USER, _Code.WRONG_PASSWORD, _Code.REQUIRED_PASSWORD, 516)  # 516: AUTHENTICATION_FAILED

_FORBIDDEN = (_Code.READONLY, _Code.DATABASE_ACCESS_DENIED, _Code.QUERY_IS_PROHIBITED, 497)  # 497: ACCESS_DENIED

_SENTENCES = {
    _Code.UNKNOWN_DATABASE: "The ClickHouse server does not have the database of the configuration.",
    _Code.UNKNOWN_TABLE: "A table is missing in the ClickHouse database; a restart creates it.",
    _Code.TIMEOUT_EXCEEDED: "The ClickHouse server did not answer in time.",
    _Code.TOO_MANY_SIMULTANEOUS_QUERIES: "The ClickHouse server has too many queries to answer.",
    _Code.MEMORY_LIMIT_EXCEEDED: "The ClickHouse server may not use as much memory as this needs.",
    _Code.NOT_ENOUGH_SPACE: "The disk of the ClickHouse server is full.",
    _Code.TOO_MANY_PARTS: "The ClickHouse server has more rows to merge than it can; it will take more later.",
    **dict.fromkeys(_REFUSED, "The ClickHouse server refuses the user or the password of the configuration."),
    **dict.fromkeys(_FORBIDDEN, "The ClickHouse server does not allow its user to do this."),
}
"""What an operator can act on, by the server's error code."""

_UNKNOWN_SETTING = (_Code.BAD_ARGUMENTS, _Code.UNKNOWN_SETTING)

_OUR_MISTAKES = (
    _Code.CANNOT_PARSE_TEXT,
    _Code.NO_SUCH_COLUMN_IN_TABLE,
    _Code.NUMBER_OF_COLUMNS_DOESNT_MATCH,
    _Code.NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
    _Code.ILLEGAL_TYPE_OF_ARGUMENT,
    _Code.UNKNOWN_FUNCTION,
    _Code.UNKNOWN_IDENTIFIER,
    _Code.UNKNOWN_TYPE,
    _Code.TYPE_MISMATCH,
    _Code.SYNTAX_ERROR,
    _Code.ALIAS_REQUIRED,
    _Code.ILLEGAL_PREWHERE,
)
"""A statement or a value that is wrong on every attempt is a bug, and no reason to leave the server alone."""


class UnknownDatabase(StoreUnavailable):
    """The server has no database of this name."""


class NotAllowed(StoreUnavailable):
    """The server's user has no right to do this."""


class UnknownSetting(StoreError):
    """The server is too old for a setting."""


class Busy(StoreUnavailable):
    """Somebody else's query has this id."""


@contextmanager
def as_store_errors() -> Iterator[None]:
    """Raise what the library raises as a `StoreError` that says what it means."""
    try:
        yield
    except library.ServerException as exc:
        raise _from_server(exc) from exc
    except (library.TypeMismatchError, library.LogicalError, library.UnknownTypeError) as exc:
        raise StoreError("The ClickHouse client was given something that it cannot send.") from exc
    except library.SocketTimeoutError as exc:
        raise StoreUnavailable("The ClickHouse server did not answer in time.") from exc
    except TimeoutError as exc:
        raise StoreUnavailable("The ClickHouse server did not answer in time.") from exc
    except (library.Error, EOFError, OSError) as exc:
        # Without the address that str(exc) may hold: the sentence may be shown to clients.
        raise StoreUnavailable("The ClickHouse server cannot be reached.") from exc


def _from_server(exc: library.ServerException) -> StoreError:
    code = exc.code
    if code in _UNKNOWN_SETTING:
        return UnknownSetting(f"The ClickHouse server does not know a setting (error {code}).")
    if code in _OUR_MISTAKES:
        return StoreError(f"The ClickHouse server does not understand a statement (error {code}).")
    if code == _Code.QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING:
        return Busy("Somebody else is storing or deleting this song; try again.")
    sentence = _SENTENCES.get(code, f"The ClickHouse server cannot do this at the moment (error {code}).")
    if code == _Code.UNKNOWN_DATABASE:
        return UnknownDatabase(sentence)
    return (NotAllowed if code in _FORBIDDEN else StoreUnavailable)(sentence)
