"""Postings to matches: align, judge against chance, rank. Pure functions of arrays."""
