"""`python -m dejavu`: the operators' commands."""

from __future__ import annotations

import sys

import dejavu.processor  # noqa: F401 - before numpy
from dejavu.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
