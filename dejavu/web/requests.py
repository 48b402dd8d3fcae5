"""What clients send, read once and checked at the edge: the uploaded file and the form fields beside it."""

from __future__ import annotations

import errno
import math
import os
import re
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import flask
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from dejavu.config.settings import FORM_FIELDS_MAX_BYTES, FORM_MAX_PARTS
from dejavu.errors import (
    FileTooLarge,
    IncompleteBody,
    InvalidBody,
    InvalidField,
    MissingField,
    Overloaded,
    UnsupportedMedia,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
"""Plain decimals only: `float` would also take "nan", "1e999", "1_0" and the digits of every script."""

_EXTENSION = re.compile(r"(?<=.)\.(?=[0-9]?[A-Za-z])[A-Za-z0-9]{2,5}\Z", re.ASCII | re.DOTALL)
"""What is taken for a file's extension: ".mp3" and ".3gp", not the end of "T.N.T", "No.22" or "Mr. Brightside"."""

_WINDOWS_FOLDER = re.compile(r"\A[A-Za-z]:\\(.*\\)?", re.DOTALL)
"""The folder of a Windows path, which some clients send along; a slash is left alone, for "AC/DC" has one."""

_QUOTED_FILENAME = re.compile(r';\s*filename="((?:[^"\\]|\\.)*)"', re.DOTALL | re.IGNORECASE)
_ESCAPED = re.compile(r'\\(["\\])')

_NO_SPACE_RETRY_SECONDS = 60


class UploadRequest(flask.Request):
    """A request whose file parts go straight to anonymous temporary files.

    Such a file has a descriptor that a worker process can be given, is written once, and is gone with the process that
    holds it, however that ends.
    """

    max_form_memory_size = FORM_FIELDS_MAX_BYTES
    max_form_parts = FORM_MAX_PARTS

    def __init__(self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False) -> None:
        super().__init__(environ, populate_request, shallow)
        self._spooled: list[IO[bytes]] = []

    @property
    def want_form_data_parsed(self) -> bool:
        """Only multipart bodies are parsed: url-encoded ones would be read into memory whole."""
        return self.mimetype == "multipart/form-data"

    def make_form_data_parser(self) -> FormDataParser:
        """Let a malformed body be an error where Werkzeug would see an empty form."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        """Spool every part, however small: the default keeps small ones in memory, without a descriptor."""
        file = tempfile.TemporaryFile("w+b")  # noqa: SIM115 -- closed with the request
        self._spooled.append(file)
        return file

    def close(self) -> None:
        """Close every file, those of a body that could not be read to its end included."""
        super().close()
        for file in self._spooled:
            file.close()


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: open, with a descriptor, and gone when the request is over; and what its sender calls it."""

    file: BinaryIO
    filename: str


def receive_upload(request: flask.Request, max_bytes: int | None) -> Upload:
    """Read the body and return its part `file`; `max_bytes` is the most that file may have (None: no limit).

    Bytes are counted while they arrive, whatever the headers said.

    Raises `FileTooLarge`, `MissingField`, `InvalidField`, `InvalidBody`, `IncompleteBody`, `UnsupportedMedia` for an
    empty file, and `Overloaded` when there is no room to keep it.
    """
    if max_bytes is not None:
        request.max_content_length = max_bytes + FORM_FIELDS_MAX_BYTES
    _receive_body(request, max_bytes)
    files = request.files.getlist("file")
    if len(files) > 1:
        raise InvalidField('There is more than one part named "file"; send one file per request.')
    if not files or not files[0].filename:
        raise MissingField(_how_to_send_a_file(request))
    file = cast(BinaryIO, files[0].stream)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if max_bytes is not None and size > max_bytes:
        raise _too_large(max_bytes)
    if not size:
        raise UnsupportedMedia("The file is empty; send an audio or video file.")
    return Upload(file, _filename(files[0]))


def read_seconds(request: flask.Request, field: str, *, above_zero: bool) -> float | None:
    """The form field as seconds, or None where it is absent or empty.

    Raises `InvalidField` unless it is a finite decimal of at least 0, or above 0 where that is asked for.
    """
    text = _single_field(request, field).strip()
    if not text:
        return None
    if not _DECIMAL.fullmatch(text) or not math.isfinite(seconds := float(text)):
        raise InvalidField(f'{field}: expected seconds as a decimal number such as 12.5, got "{text[:40]}".')
    if seconds < 0 or (above_zero and seconds == 0):
        least = "more than 0" if above_zero else "0 or more"
        raise InvalidField(f'{field}: expected {least} seconds, got "{text[:40]}".')
    return seconds


def read_song_name(request: flask.Request, upload: Upload) -> str:
    """The field `song_name`, or where that is absent or empty the file's own name; neither is changed otherwise."""
    return _single_field(request, "song_name") or default_song_name(upload.filename)


def default_song_name(filename: str) -> str:
    """A file's name without its extension: `AC/DC - T.N.T..mp3` gives `AC/DC - T.N.T.`."""
    return _EXTENSION.sub("", _WINDOWS_FOLDER.sub("", filename))


def _receive_body(request: flask.Request, max_bytes: int | None) -> None:
    try:
        _ = request.files
    except RequestEntityTooLarge as exc:
        limit = request.max_content_length
        if max_bytes is not None and limit is not None and _passed(request, limit):
            raise _too_large(max_bytes) from exc
        raise InvalidBody(
            f"The form is too large: at most {FORM_MAX_PARTS} parts, and {FORM_FIELDS_MAX_BYTES} bytes beside the file."
        ) from exc
    except (ClientDisconnected, ParseException) as exc:
        raise IncompleteBody("The upload stopped before it was complete; send the file again.") from exc
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
            message = "There is no room for the file right now; try again later."
            raise Overloaded(message, _NO_SPACE_RETRY_SECONDS) from exc
        raise IncompleteBody("The upload stopped before it was complete; send the file again.") from exc
    except ValueError as exc:
        raise InvalidBody(
            "The body is not complete multipart/form-data in UTF-8; it ended early, or a part of it is malformed."
        ) from exc


def _passed(request: flask.Request, limit: int) -> bool:
    """Whether it was the whole body that passed `limit`, announced or counted, and not one of its fields."""
    announced = request.content_length
    if announced is not None:
        return announced > limit
    return bool(getattr(request.stream, "is_exhausted", False))


def _too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(f"The file is larger than this service accepts ({max_bytes} bytes); send a shorter recording.")


def _filename(part: FileStorage) -> str:
    """The part's file name with the backslashes that are meant.

    Werkzeug takes every backslash for an escape, as headers have it. In forms only some clients escape, and then only
    quotes and backslashes; browsers write a quote as %22 and leave backslashes as they are.
    """
    quoted = _QUOTED_FILENAME.search(part.headers.get("Content-Disposition", ""))
    if quoted is None or "\\" not in quoted[1]:
        return part.filename or ""
    return _ESCAPED.sub(r"\1", quoted[1]).replace("%22", '"')


def _how_to_send_a_file(request: flask.Request) -> str:
    if request.mimetype != "multipart/form-data":
        return 'Send the recording as multipart/form-data with a part named "file".'
    if "file" in request.form:
        return 'The field "file" came as text without a file name; send it as a file, with curl as -F file=@NAME.'
    if "file" in request.files:
        return 'The part "file" has no file name, as if no file had been chosen; choose one.'
    return 'There is no part named "file"; send the recording in one.'


def _single_field(request: flask.Request, field: str) -> str:
    values = request.form.getlist(field)
    if len(values) > 1:
        raise InvalidField(f"{field}: sent {len(values)} times; send it once.")
    if not values and field in request.files:
        raise InvalidField(f"{field}: came as a file; send it as a plain form field.")
    return values[0] if values else ""
