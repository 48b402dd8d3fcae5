"""How well and how fast the service does its work: commands that print figures and judge nothing by time."""

import dejavu.processor  # noqa: F401 - before numpy
