"""A GGUF file is read once, and gives what transformers makes of it otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from screader_lib.gguf_files import read_once

HIDDEN, WIDE, WORDS = 32, 64, ["<|endoftext|>", "a", "b", "ab", "ba"]
LAYER = {
    "attn_norm": (HIDDEN,),
    "ffn_norm": (HIDDEN,),
    "attn_q": (HIDDEN, HIDDEN),
    "attn_k": (HIDDEN // 2, HIDDEN),
    "attn_v": (HIDDEN // 2, HIDDEN),
    "attn_output": (HIDDEN, HIDDEN),
    "ffn_gate": (WIDE, HIDDEN),
    "ffn_up": (WIDE, HIDDEN),
    "ffn_down": (HIDDEN, WIDE),
}


def write_gguf(path: Path, seed: int = 0) -> Path:
    """A tiny Llama of two layers with a tokenizer."""
    draw = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([1] * len(WORDS))
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_token_merges(["a b", "b a"])
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(WORDS), HIDDEN)}
    shapes |= {f"blk.{layer}.{name}": shape for layer in (0, 1) for name, shape in LAYER.items()}
    shapes |= {"output_norm": (HIDDEN,)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", draw.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def loaded(path: Path) -> tuple[dict[str, Any], list[int]]:
    """Weights by name, and the numbers of a word's tokens."""
    from transformers import AutoModel, AutoTokenizer

    file = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    weights = AutoModel.from_pretrained(**file).state_dict()
    return weights, AutoTokenizer.from_pretrained(**file)("ab").input_ids


def test_a_file_is_read_once_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    init = gguf.GGUFReader.__init__

    def recorded(self: Any, path: Any, *more: Any) -> None:
        opened.append(str(path))
        init(self, path, *more)

    monkeypatch.setattr(gguf.GGUFReader, "__init__", recorded)
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    path = write_gguf(tmp_path / "tiny.gguf")
    expected, tokens = loaded(path)
    assert len(opened) > 1
    opened.clear()
    with read_once():
        weights, same_tokens = loaded(path)
    assert opened == [str(path)]
    assert same_tokens == tokens and weights.keys() == expected.keys()
    assert all(bool((weights[name] == expected[name]).all()) for name in expected)
    with read_once():  # nothing is cached from before
        weights, _ = loaded(write_gguf(path, seed=1))
    drawn = np.random.default_rng(1).normal(size=(len(WORDS), HIDDEN))
    assert np.allclose(weights["embed_tokens.weight"], drawn, atol=1e-6)
    with pytest.raises(ZeroDivisionError), read_once():
        _ = 1 / 0
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
