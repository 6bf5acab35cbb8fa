"""Texts to requests: what one text and one request may hold.

Limits: OpenAI API reference, "Create embeddings": 2,048 inputs a request, 8,192 tokens an input,
300,000 tokens a request. The models' tokens are runs of bytes, so a text has at most as many
tokens as bytes: requests are packed by bytes and cannot have too many tokens. What is told of
tokens beforehand is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

INPUTS_PER_REQUEST = 2_048
TOKENS_PER_INPUT = 8_192
TOKENS_PER_REQUEST = 300_000
BYTES_PER_TOKEN = 3  # of English gene texts about 4; 3 keeps estimates on the safe side
LONGEST = (TOKENS_PER_INPUT - 1) * BYTES_PER_TOKEN  # bytes of a text; a server may want fewer


def estimated_tokens(text: str) -> int:
    """Tokens charged for a text, estimated without the model's tokenizer, rather too many."""
    return min(len(text.encode()) // BYTES_PER_TOKEN + 1, TOKENS_PER_INPUT)


def shortened(text: str, most: int = LONGEST) -> str:
    """A text of ``most`` bytes at most, cut after a whole character."""
    return text.encode()[:most].decode("utf-8", "ignore")


def packed(texts: Sequence[str], together: int = 1) -> Iterator[range]:
    """Consecutive rows for one request each; ``together`` of them keep to the limits of one.

    So what is under way at a time, and lost when a run is killed, is one full request at most.
    """
    inputs = max(1, INPUTS_PER_REQUEST // together)
    start = tokens = size = 0
    for row, text in enumerate(texts):
        more, bytes_more = estimated_tokens(text), min(len(text.encode()), LONGEST)
        if row > start and (
            row - start == inputs
            or tokens + more > TOKENS_PER_REQUEST // together
            or size + bytes_more > TOKENS_PER_REQUEST
        ):
            yield range(start, row)
            start, tokens, size = row, 0, 0
        tokens += more
        size += bytes_more
    if texts:
        yield range(start, len(texts))
