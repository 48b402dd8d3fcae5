"""The master settings: constants in groups, each with its unit and its reason.

Those in *Format* shape stored fingerprints. A digest of them is kept with every catalogue, and a catalogue made with others
is refused at start. Everything an operator changes is in config.json (`config/deployment.py`).
"""

from __future__ import annotations

# --- Files ---------------------------------------------------------------------------------------------------------------

CONFIG_FILE = "config.json"
"""Where the operator's configuration is; the environment variable TUNESCOUT_CONFIG overrides it."""

# --- Format: changing any of these makes stored catalogues unusable --------------------------------------------------------

FINGERPRINT_VERSION = 1
"""Raised when the method changes in a way that the other constants do not show."""

DEFAULT_FS = 44_100
"""Hz. The rate dejavu and its descendants count in: a frame is HOP_LENGTH samples at this rate."""

ANALYSIS_FS = DEFAULT_FS // 4
"""Hz. The rate media is decoded to. The band ends at 5 kHz, so a quarter of DEFAULT_FS loses nothing and makes each transform four times
smaller."""

N_FFT = 1024
"""Samples at ANALYSIS_FS: 93 ms, 10.8 Hz a bin."""

HOP_LENGTH = 256
"""Samples at ANALYSIS_FS: 23 ms, the unit of every offset."""

# --- Answers -------------------------------------------------------------------------------------------------------------

TOPN = 3
"""Results in an answer, at most."""

# --- Limits --------------------------------------------------------------------------------------------------------------

TASK_TIMEOUT_SECONDS = 600.0
"""What one file may take to decode and fingerprint: a 24 h recording needs about four minutes of one core."""

QUEUE_WAIT_SECONDS = 10.0
"""How long a request waits for a free worker before it is told that the service is overloaded."""
