"""Strings: their own ops run on the host, what is counted of them is compiled."""

import re
from itertools import pairwise

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f32
from ...build import math, reduce, shape, text
from ..table import converter

MOST_COMPARISONS = 2**24
"""Comparisons of elements with those of n-grams that a node may take."""


@converter("StringConcat", since=20)
def concat(x, y):
    return text.concat(x, y)


@converter("StringSplit", since=20)
def split(x, *, delimiter="", maxsplit=None):
    return text.split(x, delimiter=delimiter, most=maxsplit)


@converter("StringNormalizer", since=10)
def normalise(x, *, case_change_action="NONE", is_case_sensitive=0, locale="", stopwords=()):
    """The locale is not looked at: case is changed as Unicode says for all languages."""
    change = case_change_action.lower().replace("none", "")
    return text.normalise(x, change=change, dropped=tuple(stopwords), ignore_case=not is_case_sensitive)


_BEYOND = re.compile(r"\(\?[=!<]|\\[1-9]|\\[pPzQC]|\(\?[a-zA-Z-]*[^aimsxLu:)P-]")
"""Looking around and back is not in RE2's language; the rest here Python spells otherwise or not at all."""


@converter("RegexFullMatch", since=20)
def full_match(x, *, pattern=""):
    if _BEYOND.search(pattern):
        raise UnsupportedError(
            f"its pattern {pattern!r} uses a form that is not supported",
            hint="write it with classes and groups",
        )
    return text.full_match(x, pattern=pattern)


@converter("TfIdfVectorizer", since=9)
def tf_idf(
    x,
    *,
    max_gram_length,
    max_skip_count,
    min_gram_length,
    mode,
    ngram_counts,
    ngram_indexes,
    pool_int64s=None,
    pool_strings=None,
    weights=None,
):
    """Each n-gram is compared with each place where it could stand; the hits are counted."""
    rows = x if x.type.rank == 2 else shape.reshape(x, shape=(1, *x.shape))
    words, tokens = _numbered(rows, pool_int64s, pool_strings)
    if not isinstance(words.shape[1], int):
        raise UnsupportedError(f"the length of {x.type} is not known", hint="fix it with shapes=")
    counts = []
    bounds = (*ngram_counts, len(tokens))
    for length, (begin, end) in enumerate(pairwise(bounds), 1):
        grams = np.array(tokens[begin:end], np.int64).reshape(-1, length)
        if not min_gram_length <= length <= max_gram_length:
            counts.append(shape.expand(constant(np.zeros((), np.float32)), shape=(rows.shape[0], len(grams))))
        elif len(grams):
            counts.append(_counted(words, grams, max_skip_count if length > 1 else 0))
    found = shape.concat(*counts, axis=1) if len(counts) > 1 else counts[0]
    if mode != "TF":
        scale = np.ones(len(ngram_indexes)) if weights is None else np.array(weights)
        found = math.min(found, constant(1, f32)) if mode == "IDF" else found
        found = math.mul(found, constant(scale, f32))
    size = max(ngram_indexes) + 1
    order = np.full(size, len(ngram_indexes))
    order[list(ngram_indexes)] = np.arange(len(ngram_indexes))
    padded = shape.pad(found, pads=(0, 0, 0, 1))
    return shape.reshape(shape.gather(padded, constant(order), axis=1), shape=(*x.shape[:-1], size))


def _numbered(x: Value, numbers, strings) -> tuple[Value, list[int]]:
    """The elements and the pool as numbers; strings as their places in the pool."""
    if strings is None:
        if numbers is None:
            raise ModelError("it needs 'pool_int64s' or 'pool_strings'")
        return x, list(numbers)
    words = tuple(dict.fromkeys(strings))
    return text.index_of(x, words=words), [words.index(word) for word in strings]


def _counted(words: Value, grams: np.ndarray, most_skipped: int) -> Value:
    """How often each n-gram [count, length] stands in each row, up to so many elements skipped between its own."""
    extent, (count, length) = words.shape[1], grams.shape
    places = [
        start + np.arange(length) * (skip + 1)
        for skip in range(most_skipped + 1)
        for start in range(extent - (length - 1) * (skip + 1))
    ]
    if len(places) * grams.size > MOST_COMPARISONS:
        raise UnsupportedError(f"{count} n-grams at {len(places)} places are too many", hint="use fewer")
    if not places:
        return shape.expand(constant(np.zeros((), np.float32)), shape=(words.shape[0], count))
    windows = shape.gather(words, constant(np.array(places)), axis=1)
    windows = shape.reshape(windows, shape=(words.shape[0], len(places), 1, length))
    hits = math.cast(math.eq(windows, constant(grams, words.dtype)), dtype=f32)
    return reduce.sum(reduce.min(hits, axes=(3,), keepdims=False), axes=(1,), keepdims=False)
