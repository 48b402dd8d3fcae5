"""How common each hash is in real music: makes the table that `dejavu/fingerprint/commonness.py` reads.

The table only decides which hashes are asked first. It says nothing about any recording, and a catalogue of other music
is searched as well with it, at the cost of some more postings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from tqdm import tqdm

from benchmarks.material import recordings
from dejavu.audio.decode import decode
from dejavu.config.settings import MAX_TARGET_BINS, MAX_TARGET_FRAMES
from dejavu.fingerprint.commonness import SHARES_FILE
from dejavu.fingerprint.extract import extract_reference
from dejavu.fingerprint.landmarks import unpack
from dejavu.fingerprint.spectrogram import BAND_BINS

_SMOOTHING_ANCHOR_BINS = 2.0
_SMOOTHING_TARGET = 0.7
"""Standard deviations, of bins and of bins and frames: a few hours of music leave holes that more would fill."""

_LEAST_SHARE = 1e-5
_LEAST_COUNT = 0.05
"""What is added everywhere, because nothing is impossible."""


def main() -> None:
    """Count the landmarks of all recordings and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHARES_FILE, help=f"default {SHARES_FILE.name}, in its place")
    options = parser.parse_args()
    anchors = np.zeros(BAND_BINS)
    targets = np.zeros((2 * MAX_TARGET_BINS + 1, MAX_TARGET_FRAMES + 1))
    for recording in tqdm(recordings("reference"), desc="counting", unit="recording"):
        with recording.path.open("rb") as file:
            hashes = extract_reference(decode(file)).hashes
        anchor_bins, target_bins, frames = unpack(hashes)
        np.add.at(anchors, anchor_bins, 1)
        np.add.at(targets, (target_bins - anchor_bins + MAX_TARGET_BINS, frames), 1)
    anchors = gaussian_filter1d(anchors, _SMOOTHING_ANCHOR_BINS)
    targets = gaussian_filter(targets, _SMOOTHING_TARGET) + _LEAST_COUNT
    np.savez_compressed(
        options.out,
        anchors=(anchors / anchors.sum() + _LEAST_SHARE).astype(np.float32),
        targets=(targets / targets.sum()).astype(np.float32),
    )
    print(f"{options.out}: {options.out.stat().st_size} bytes, from {int(anchors.sum())} landmarks")


if __name__ == "__main__":
    main()
