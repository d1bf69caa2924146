"""The versions of the standard domain (opsets) and of the file format that are read."""

OLDEST, NEWEST = 7, 28
NEWEST_IR = 14
