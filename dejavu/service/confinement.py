"""Rights that a process gives up for good, before it touches what strangers have sent."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import struct
import sys

logger = logging.getLogger(__name__)

_MAX_OPEN_FILES = 16

_PR_SET_NO_NEW_PRIVS = 38

# Landlock's system calls have the same numbers on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_CREATE_RULESET_VERSION = 1

_EVERY_FILE_ACCESS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Landlock version -> every kind of access to files it knows from then on."""

_TCP_BIND_AND_CONNECT = 0b11  # from version 4
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # from version 6


def confine(memory_bytes: int) -> None:
    """Keep this thread, and those it starts, from files, network and privileges, and the process from much memory.

    Descriptors that are open, or handed over later, can still be used. memory_bytes : what the process may allocate.
    """
    for limit, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        _, hard = resource.getrlimit(limit)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (allowed, allowed))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _shut_file_system_and_network(libc)


def landlock_version() -> int:
    """Which Landlock this kernel has; 0 for none (before 5.13), or where a container forbids it."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None)
    return max(0, int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)))


def _shut_file_system_and_network(libc: ctypes.CDLL) -> None:
    """Forbid to open or connect to anything, as far as the kernel can."""
    version = landlock_version()
    if not version:
        return
    fields = [max(access for since, access in _EVERY_FILE_ACCESS.items() if since <= version)]
    if version >= 4:
        fields.append(_TCP_BIND_AND_CONNECT)
    if version >= 6:
        fields.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    # Rules would allow something; a set without any allows nothing of what it handles.
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0 or libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0):
        logger.warning("Landlock cannot be used here (errno %d); files stay readable to workers.", ctypes.get_errno())
    if rules >= 0:
        os.close(rules)
