"""Everything that can go wrong, as one tree.

TuneScoutError
├── ConfigError                  at start only; the message names the JSON path
├── MediaError
│   ├── UnsupportedMedia         nothing in the file decodes
│   ├── NoAudio                  it decodes, but there is no sound to fingerprint
│   └── DecodeTimeout            decoding took longer than it may
├── RequestError
│   ├── MissingField
│   ├── InvalidField
│   ├── InvalidBody              not the multipart/form-data it should be
│   ├── IncompleteBody           the client stopped sending
│   ├── FileTooLarge
│   ├── NotAuthorized
│   └── FingerprintingDisabled
├── UnknownToken
├── UnknownSong
├── NoPicture                    nothing is kept that a picture could be drawn from
├── AlreadyFingerprinted         carries the song that is there already
├── Overloaded                   carries how long to wait
└── StoreError
    ├── StoreUnavailable         one database cannot be reached or does not answer
    │   ├── NotSetUp             it can, and nothing was ever kept in it
    │   └── Outdated             an earlier version has set it up
    ├── InstancesUnavailable     none of the databases that were needed can be asked
    └── FormatMismatch           a catalogue made with other fingerprint settings

A message is one sentence that says what to do; it is shown to clients, so it never holds a password, a token or a path
of the server. `web/errors.py` alone knows which class becomes which HTTP status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dejavu.model import Song


class TuneScoutError(Exception):
    """Root of every error this project raises on purpose."""


class ConfigError(TuneScoutError):
    """The configuration cannot be used; the message starts with the JSON path."""


class MediaError(TuneScoutError):
    """A media file that cannot be used."""


class UnsupportedMedia(MediaError):
    """Nothing in the file decodes as audio or video."""


class NoAudio(MediaError):
    """The file decodes, but holds no sound that could be fingerprinted."""


class DecodeTimeout(MediaError):
    """Decoding and fingerprinting took longer than the service allows."""


class RequestError(TuneScoutError):
    """A request that cannot be carried out as it is."""


class MissingField(RequestError):
    """A form field or file part that has to be there is not."""


class InvalidField(RequestError):
    """A form field holds something that cannot be used."""


class InvalidBody(RequestError):
    """The body is not multipart/form-data that can be read, or holds far more than a file and its fields."""


class IncompleteBody(RequestError):
    """The client stopped sending before its body was complete."""


class FileTooLarge(RequestError):
    """The uploaded file is larger than the configuration allows."""


class NotAuthorized(RequestError):
    """The bearer token is missing or wrong."""


class FingerprintingDisabled(RequestError):
    """The configuration forbids adding songs."""


class UnknownToken(TuneScoutError):
    """No stored result has this token."""


class UnknownSong(TuneScoutError):
    """No song in the catalogue has this SHA-1."""


class NoPicture(TuneScoutError):
    """There is nothing that a picture of this answer could be drawn from."""


class AlreadyFingerprinted(TuneScoutError):
    """The very same file is in the catalogue already, as `song`."""

    def __init__(self, song: Song) -> None:
        super().__init__("This file is in the catalogue already; nothing was changed.")
        self.song = song


class Overloaded(TuneScoutError):
    """Too much is waiting already; the request may be sent again after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoreError(TuneScoutError):
    """A database could not do what it was asked."""


class StoreUnavailable(StoreError):
    """One database cannot be reached, or does not answer in time."""


class NotSetUp(StoreUnavailable):
    """A database is there, or a place for it, without the tables that the service creates."""

    def __init__(self) -> None:
        super().__init__("Nothing has been set up here yet; the service does so when it starts.")


class Outdated(StoreUnavailable):
    """A catalogue lacks columns that an earlier version did not have; a service that starts adds them."""

    def __init__(self) -> None:
        super().__init__("An earlier version has set this up; the service brings it up to date when it starts.")


class InstancesUnavailable(StoreError):
    """None of the databases that were needed can be asked."""


class FormatMismatch(StoreError):
    """A catalogue was made with other fingerprint settings than these."""
