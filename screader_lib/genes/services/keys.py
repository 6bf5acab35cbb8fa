"""Secrets: from the environment only, and never in a message."""

from __future__ import annotations

import os

NCBI = "NCBI_API_KEY"
NCBI_EMAIL = "NCBI_EMAIL"
OPENAI = "OPENAI_API_KEY"


def secret_of(variable: str) -> str:
    """A key from the environment, empty where it is not set."""
    return os.environ.get(variable, "").strip()


def hidden(text: str, secret: str) -> str:
    """``text`` with stars for the secret."""
    return text.replace(secret, "***") if secret else text
