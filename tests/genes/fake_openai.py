"""An OpenAI-like embedding server whose vectors follow from the texts."""

from __future__ import annotations

import base64
import hashlib

import numpy as np
from loopback import Reply, Request, json_reply


def vector_of(text: str, dim: int = 6) -> np.ndarray:
    """float32 (dim,) that only this text has."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32)


def embeddings_server(request: Request) -> Reply:
    """Answers in reverse order, as a server may; base64 where it is asked for."""
    asked = request.json
    data = []
    for index, text in enumerate(asked["input"]):
        vector = vector_of(text, asked.get("dimensions", 6))
        encoded = base64.b64encode(vector.tobytes()).decode()
        value = encoded if asked["encoding_format"] == "base64" else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": value})
    usage = {"prompt_tokens": 7 * len(data), "total_tokens": 7 * len(data)}
    return json_reply({"data": data[::-1], "model": asked["model"], "usage": usage})


def sent_texts(requests: list[Request]) -> list[str]:
    """All texts that the server was sent."""
    return [text for request in requests for text in request.json["input"]]
