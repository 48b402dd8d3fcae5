"""Samples to fingerprints: spectrogram, peaks, landmarks. Pure functions of arrays."""
