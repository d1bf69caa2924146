"""Frontends: one folder a format, from its bytes to the graph IR."""
