"""The passes over the graph IR, each a frozen dataclass, and the order in which every model goes through them.

`GRAPH_PASSES` is that order as data; a pipeline for one chip adds its own passes after it.
"""

from .affine import FOLD_AFFINE
from .base import Pass, PassResult, Rewrite
from .branches import InlineBranches
from .canonicalise import CANONICALISE
from .expand import EXPAND
from .fold import Fold
from .recognise import RECOGNISE
from .share import Share
from .simplify import Simplify

# What each order is for:
# - `simplify` (folding, canonical form and sharing, until nothing changes) stands first: all that follows matches
#   canonical forms, asks for constants where an exporter left arithmetic on constants, and for one node where it wrote
#   the same twice (layer_norm's x - mean).
# - `recognise` comes before `fold-affine`: the scale and offset of a decomposed norm or the scale of attention must not
#   have vanished into the weights next to them.
# - `expand` follows, for what it writes is nothing that the others look for.
# - `simplify` again cleans up after all three: transposes that attention no longer needs meet and cancel.
SIMPLIFY = Simplify((InlineBranches(), Fold(), CANONICALISE, Share()))
GRAPH_PASSES: tuple[Pass, ...] = (SIMPLIFY, RECOGNISE, FOLD_AFFINE, EXPAND, SIMPLIFY)

__all__ = [
    "CANONICALISE",
    "EXPAND",
    "FOLD_AFFINE",
    "GRAPH_PASSES",
    "RECOGNISE",
    "SIMPLIFY",
    "Fold",
    "InlineBranches",
    "Pass",
    "PassResult",
    "Rewrite",
    "Share",
    "Simplify",
]
