"""Answers in words, for people."""

from __future__ import annotations

_CONFIDENCE = ((0.99, "certain"), (0.9, "very likely"), (0.5, "likely"), (0.0, "perhaps"))
"""Confidence is calibrated: of a hundred answers with 0.9 ninety are right."""


def position(seconds: float) -> str:
    """A place in a song: 2:05.3; before its beginning −0:01.2."""
    tenths = round(abs(seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{'−' if seconds < 0 and tenths else ''}{clock}:{rest // 10:02}.{rest % 10}"


def confidence(share: float) -> str:
    """What a confidence is called."""
    return next(words for least, words in _CONFIDENCE if share >= least)


def percent(share: float) -> str:
    """A confidence in percent; of none is it said that it cannot be wrong."""
    return f"{min(99.9, 100 * share):.3g} %"


def played(speed: float, pitch: float) -> str | None:
    """How a clip was played, None where that is as the song is."""
    told = []
    if speed != 1:
        told.append(f"{abs(100 * (speed - 1)):.2g} % {'faster' if speed > 1 else 'slower'}")
    if pitch != speed:
        higher = f"{abs(100 * (pitch - 1)):.2g} % {'higher' if pitch > 1 else 'lower'}"
        told.append(higher if pitch != 1 else "at the song's pitch")
    return f"played {', '.join(told)}" if told else None
