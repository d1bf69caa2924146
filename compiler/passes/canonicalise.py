"""The canonical form: what all other passes may rely on, so that they match meaning and not an exporter's spelling."""

from . import algebra, gathers, movement
from .base import Rewrite

CANONICALISE = Rewrite("canonicalise", (*algebra.RULES, *movement.RULES, *gathers.RULES))
