"""Imported before numpy, for its effect: on some processors numpy is faster without the newest instructions.

AMD's Zen 4 stores selected lanes of a 512-bit register by microcode that takes over a hundred cycles, and numpy's
AVX-512 sort does little else: a million int64 take 60 ms, and 10 ms with the AVX2 sort. Other programs leave AVX-512
sorts out there as well (OpenJDK's JDK-8317976, numpy/x86-simd-sort issue 6).
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

_SWITCHES = ("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")
"""numpy's own, of which it accepts one; who has set one knows better."""

_AVX512 = "X86_V4"
"""numpy's name for AVX-512 as the first server processors had it, and with it for all that builds on that."""

_ZEN_3_AND_4 = "25"


def sorts_badly_with_avx512(cpuinfo: str) -> bool:
    """Whether Linux' /proc/cpuinfo tells of a Zen 4: its family, 25, is also Zen 3's, which has no AVX-512."""
    told = dict(re.findall(r"^(vendor_id|cpu family|flags)\s*: (.*)$", cpuinfo, re.MULTILINE))
    is_family = (told.get("vendor_id"), told.get("cpu family")) == ("AuthenticAMD", _ZEN_3_AND_4)
    return is_family and "avx512f" in told.get("flags", "").split()


def choose_features(cpuinfo: Path, environment: MutableMapping[str, str]) -> None:
    """Tell numpy through the environment what to leave out, if anything; where nothing is known, nothing."""
    if any(switch in environment for switch in _SWITCHES):
        return
    try:
        text = cpuinfo.read_text()
    except OSError:
        return
    if sorts_badly_with_avx512(text):
        environment[_SWITCHES[0]] = _AVX512


choose_features(_CPUINFO, os.environ)
