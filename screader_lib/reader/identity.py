"""What makes two pieces of long work the same, so that one can take up where the other was."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from screader_lib import __version__


def fingerprint(**identity: Any) -> str:
    """SHA-256, hexadecimal, of the version of scReader and all that the work depends on."""
    content = json.dumps({"version": __version__, **identity}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
