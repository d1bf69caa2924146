"""Suites that tell how much a build reads and runs, and whether it is right; for vendors' own targets as well."""
