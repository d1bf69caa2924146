"""Rewrites as data: patterns, rules and the driver that applies them."""
