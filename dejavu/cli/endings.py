"""The exit codes of all commands."""

from __future__ import annotations

DONE = 0
"""All is well, and done."""

NOT_DONE = 1
"""Something is not well, or not there, or could not be done; the lines on standard error say what."""

WRONG_COMMAND = 2
"""The command or the configuration cannot be understood; nothing was done."""

INTERRUPTED = 130
"""Ctrl-C."""
