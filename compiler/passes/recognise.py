"""Recognition by meaning: what exporters spell out in arithmetic becomes the one op that says it."""

from . import activations, attention, norms
from .base import Rewrite

RECOGNISE = Rewrite("recognise", (*norms.RULES, *activations.RULES, *attention.RULES))
