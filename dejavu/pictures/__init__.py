"""Portraits of answers as PNG images."""
