"""Benchmarks: the models measured, the engines they are measured on, and the report.

Run from the repository's root, `python -m benchmarks`. Nothing here is installed with isthmus.
"""
