"""The passes over the graph IR, each a frozen dataclass, and the order in which every model goes through them.

`GRAPH_PASSES` is that order as data; a pipeline for one chip adds its own passes after it.
"""

from .affine import FOLD_AFFINE
from .base import Pass, PassResult, Rewrite
from .branches import InlineBranches
from .canonicalise import CANONICALISE
from .expand import EXPAND
from .fold import Fold
from .loops import Unroll
from .recognise import RECOGNISE
from .settle import Settle
from .share import Share
from .until_rest import UntilRest

SIMPLIFY = UntilRest("simplify", (InlineBranches(), Unroll(), Fold(), Settle(), CANONICALISE, Share()))
UNDERSTAND = UntilRest("understand", (RECOGNISE, *SIMPLIFY.passes))

# What each order is for:
# - `simplify` (folding, canonical form, sharing) stands first: all that follows matches canonical forms, asks for
#   constants where an exporter left arithmetic on constants, and for one node where it wrote the same twice
#   (layer_norm's x - mean).
# - `understand` recognises ops, and simplifies again because one finding makes way for the next: the transposes that
#   attention no longer needs must cancel before its repeated heads can be seen.
# - `fold-affine` comes after both: the scale and offset of a decomposed norm, or the scale of attention, must not have
#   vanished into the weights next to them.
# - `expand` follows, for what it writes is nothing that the others look for; `simplify` cleans up.
GRAPH_PASSES: tuple[Pass, ...] = (SIMPLIFY, UNDERSTAND, FOLD_AFFINE, EXPAND, SIMPLIFY)

__all__ = [
    "CANONICALISE",
    "EXPAND",
    "FOLD_AFFINE",
    "GRAPH_PASSES",
    "RECOGNISE",
    "SIMPLIFY",
    "UNDERSTAND",
    "Fold",
    "InlineBranches",
    "Pass",
    "PassResult",
    "Rewrite",
    "Settle",
    "Share",
    "Unroll",
    "UntilRest",
]
