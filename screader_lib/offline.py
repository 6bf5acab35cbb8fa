"""Offline mode: ``SCREADER_OFFLINE=1`` keeps every tool from using the network.

On a compute node without network, tools then fail at once instead of waiting for a time-out.
Servers on the machine itself are still used.
"""

from __future__ import annotations

import os

VARIABLE = "SCREADER_OFFLINE"
HUGGING_FACE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def is_offline() -> bool:
    """Whether SCREADER_OFFLINE is set to something other than 0."""
    return os.environ.get(VARIABLE, "").strip() not in ("", "0")


def set_library_variables() -> None:
    """Put Hugging Face's libraries offline too; to be called before they are imported."""
    if is_offline():
        os.environ.update(dict.fromkeys(HUGGING_FACE, "1"))
