"""Rewrites from ops to ones that chips of the n1 family run."""

from ...compiler.rewrite import Rule

RULES: tuple[Rule, ...] = ()
