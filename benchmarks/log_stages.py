"""What the server's log says of the stages of each recognition."""

from __future__ import annotations

import re
from collections.abc import Iterable

from benchmarks.client import Reply

STAGES = ("fingerprint", "look_up", "align", "store")
"""As the log has them, in milliseconds; decoding and fingerprinting are one."""

_LOG_LINE = re.compile(
    r"request id=(?P<id>\w+) .*route=/api/recognize .* fingerprint_ms=(?P<fingerprint>\S+) look_up_ms=(?P<look_up>\S+)"
    r" align_ms=(?P<align>\S+) store_ms=(?P<store>\S+) asked_hashes=(?P<asked>\d+)"
)


def log_lines(log: str, replies: Iterable[Reply]) -> list[re.Match[str]]:
    """The line of each reply, with the groups `STAGES` and `asked`; ends the command where one is missing."""
    by_id = {match["id"]: match for match in _LOG_LINE.finditer(log)}
    replies = list(replies)
    missing = [reply for reply in replies if reply.request_id not in by_id]
    if missing:
        raise SystemExit(f"{len(missing)} requests were not answered as they should be; the first: {missing[0]}")
    return [by_id[reply.request_id] for reply in replies]
