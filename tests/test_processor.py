"""Which instructions numpy is told to leave out, and that it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import PROJECT

from dejavu.processor import choose_features, sorts_badly_with_avx512

CPUINFO = """processor\t: 0
vendor_id\t: {vendor}
cpu family\t: {family}
model\t\t: 17
model name\t: a processor
flags\t\t: fpu sse2 {flags}

processor\t: 1
vendor_id\t: {vendor}
cpu family\t: {family}
flags\t\t: fpu sse2 {flags}
"""

ZEN_4 = CPUINFO.format(vendor="AuthenticAMD", family=25, flags="avx2 avx512f avx512vl")
FEATURES = "from numpy._core._multiarray_umath import __cpu_features__ as f; print(f['X86_V3'], f['X86_V4'])"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (ZEN_4, True),
        (CPUINFO.format(vendor="AuthenticAMD", family=25, flags="avx2"), False),  # Zen 3
        (CPUINFO.format(vendor="AuthenticAMD", family=26, flags="avx2 avx512f"), False),  # Zen 5
        (CPUINFO.format(vendor="GenuineIntel", family=6, flags="avx2 avx512f"), False),
        ("processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n", False),
        ("", False),
    ],
)
def test_only_zen_4_sorts_badly(cpuinfo: str, expected: bool) -> None:
    assert sorts_badly_with_avx512(cpuinfo) is expected


def test_a_zen_4_does_without_avx512(tmp_path: Path) -> None:
    path, environment = tmp_path / "cpuinfo", dict[str, str]()
    path.write_text(ZEN_4)
    choose_features(path, environment)
    assert environment == {"NPY_DISABLE_CPU_FEATURES": "X86_V4"}


@pytest.mark.parametrize("switch", ["NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"])
def test_what_the_operator_set_stays(tmp_path: Path, switch: str) -> None:
    path, environment = tmp_path / "cpuinfo", {switch: "AVX512_ICL"}
    path.write_text(ZEN_4)
    choose_features(path, environment)
    assert environment == {switch: "AVX512_ICL"}


def test_where_nothing_is_known_nothing_is_left_out(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    choose_features(tmp_path / "missing", environment)
    assert environment == {}


@pytest.mark.parametrize("module", ["app", "dejavu.__main__", "benchmarks.stages"])
def test_it_is_chosen_before_numpy_is_imported(module: str) -> None:
    code = f"import sys, {module}; print(*(name for name in sys.modules if name in ('dejavu.processor', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dejavu.processor", "numpy"]


def test_numpy_does_what_it_is_told() -> None:
    code = f"import dejavu.processor; {FEATURES}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NPY_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    cpuinfo = Path("/proc/cpuinfo").read_text()
    has_avx2, has_avx512 = (f" {flag} " in cpuinfo for flag in ("avx2", "avx512vl"))
    assert done.stdout.split() == [str(has_avx2), str(has_avx512 and not sorts_badly_with_avx512(cpuinfo))]
    assert not done.stderr
