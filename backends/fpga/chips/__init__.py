"""Chip files of the f1 family: configurations of the overlay on named parts."""
