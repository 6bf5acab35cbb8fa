"""Whether the user has said that there is no network.

``SCREADER_OFFLINE=1`` keeps every tool from trying one, so that a compute node without a network
answers at once. Servers on this machine itself are still asked.
"""

from __future__ import annotations

import os

VARIABLE = "SCREADER_OFFLINE"
HUGGING_FACE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def is_offline() -> bool:
    """Whether SCREADER_OFFLINE is set to something other than 0."""
    return os.environ.get(VARIABLE, "").strip() not in ("", "0")


def tell_libraries() -> None:
    """Pass the word on to Hugging Face's libraries; to be called before they are imported."""
    if is_offline():
        os.environ.update(dict.fromkeys(HUGGING_FACE, "1"))
