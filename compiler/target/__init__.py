"""Targets as data: the schema of a chip file, constraints and the backend protocol."""
