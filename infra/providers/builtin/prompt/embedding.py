"""Embedding: a prompt as a vector of hashed words and character n-grams, and its nearest stored neighbours.

Texts that share words and stems get near vectors; texts that say the same in other words do not. That is enough to find
versions and variants of a prompt, and needs no model.
"""

import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from infra.providers.base import StoredPrompt
from infra.providers.builtin.prompt.language import SMALL_WORDS

DIMENSIONS = 256
# A hashed word says more than one of its trigrams, which it shares with its inflections.
WORD_WEIGHT = 2.0
DECIMALS = 5
MAX_SIMILAR = 5
# Unrelated prompts come out below this, variants of one prompt far above (measured in the tests).
SIMILAR_SCORE = 0.5
CONFIDENCE = 0.6

WORD = re.compile(r"\w+")
# Scripts without spaces: a run of them is no word, its bigrams are the best unit there is.
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]+")


def embed_prompt(item_id: str, text: str, stored: Iterable[StoredPrompt]) -> tuple[dict[str, Any] | None, float]:
    """The vector and up to five similar stored prompts; None with confidence 0 for a text without letters or digits."""
    vector = embed_text(text)
    if not any(vector):
        return None, 0.0
    return {"vector": vector, "similar": find_similar(item_id, vector, stored)}, CONFIDENCE


def embed_text(text: str) -> list[float]:
    """256 floats of norm 1, rounded to 5 decimals; all zeros for a text without features. The same in every process."""
    sums = [0.0] * DIMENSIONS
    for feature, count in features_of(text).items():
        # crc32 and not hash(), which differs from process to process. Low bits choose the place, the top bit the sign:
        # signs make collisions cancel out instead of adding up.
        code = zlib.crc32(feature.encode())
        weight = (WORD_WEIGHT if feature[0] == "w" else 1.0) * (1 + math.log(count))
        sums[(code >> 3) % DIMENSIONS] += weight if code >> 31 else -weight
    norm = math.sqrt(sum(value * value for value in sums))
    return [round(value / norm, DECIMALS) for value in sums] if norm else sums


def features_of(text: str) -> Counter[str]:
    """Words (`w`) and their trigrams (`n`); in scripts without spaces bigrams (`w`) and single characters (`n`)."""
    features: Counter[str] = Counter()
    small = frozenset().union(*SMALL_WORDS.values())
    # A lone surrogate can't be encoded; JSON can carry one in, so it is replaced.
    folded = unicodedata.normalize("NFKC", text).casefold().encode("utf-8", "replace").decode()
    for run in UNSPACED.findall(folded):
        features.update(f"w{run[i : i + 2]}" for i in range(len(run) - 1))
        features.update(f"n{character}" for character in run)
    for word in WORD.findall(UNSPACED.sub(" ", folded)):
        if word in small:
            continue
        features[f"w{word[:64]}"] += 1
        padded = f" {word} "
        features.update(f"n{padded[i : i + 3]}" for i in range(len(padded) - 2))
    return features


def find_similar(item_id: str, vector: list[float], stored: Iterable[StoredPrompt]) -> list[dict[str, Any]]:
    """The nearest stored prompts above the threshold, best first, without itself and vectors of another length."""
    scored = [
        (cosine(vector, other.vector), other)
        for other in stored
        if other.prompt_id != item_id and len(other.vector) == len(vector)
    ]
    near = sorted((pair for pair in scored if pair[0] >= SIMILAR_SCORE), key=lambda pair: (-pair[0], pair[1].prompt_id))
    return [
        {"prompt_id": other.prompt_id, "title": other.title, "version": other.version, "score": round(score, 4)}
        for score, other in near[:MAX_SIMILAR]
    ]


def cosine(left: list[float], right: list[float]) -> float:
    """The cosine of two vectors of equal length, -1..1; 0 when one of them is all zeros or not finite."""
    product = math.sqrt(sum(value * value for value in left)) * math.sqrt(sum(value * value for value in right))
    if not product or not math.isfinite(product):
        return 0.0
    return max(-1.0, min(1.0, sum(a * b for a, b in zip(left, right, strict=True)) / product))
