"""Loading frozen LLMs and refusing what cannot be loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_files import write_llama

from screader_lib.errors import ScReaderError
from screader_lib.reader.llm.frozen_llm import FrozenLLM, load_llm
from screader_lib.reader.llm.weights import packaged_gguf


def load(llama: Path, **settings: Any) -> FrozenLLM:
    return load_llm(str(llama), instruction="Genes of", precision="float32", **settings)


def test_it_is_frozen_and_complete(llama: Path) -> None:
    llm = load(llama)
    assert not llm.model.training
    assert not any(parameter.requires_grad for parameter in llm.model.parameters())
    assert llm.identity.layers == 3 and llm.identity.hidden_size == 32
    assert not isinstance(llm.model.norm, torch.nn.Identity)
    table: torch.Tensor = llm.model.get_input_embeddings().weight
    assert torch.equal(llm.instruction, table[torch.tensor([1, 0])])
    assert llm.token_norm == pytest.approx(float(table.norm(dim=1).mean()))


def test_a_shortened_one_has_no_final_norm(llama: Path) -> None:
    llm = load(llama, layers=2)
    assert len(llm.model.layers) == llm.identity.layers == 2
    assert isinstance(llm.model.norm, torch.nn.Identity)
    assert load(llama, layers=99).identity.layers == 3


def test_random_weights_follow_the_seed(llama: Path) -> None:
    def weights(seed: int | None) -> torch.Tensor:
        return load(llama, random_seed=seed).model.layers[0].mlp.up_proj.weight

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert not torch.equal(weights(1), weights(None))


def test_identity_follows_the_weights(llama: Path, tmp_path: Path) -> None:
    same = shutil.copytree(llama, tmp_path / "same")
    other = write_llama(tmp_path / "other", seed=1)
    assert load(same).identity.weights == load(llama).identity.weights
    assert load(other).identity.weights != load(llama).identity.weights


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    left = {name: value for name, value in weights.items() if "layers.1." not in name}
    save_file(left, folder / "model.safetensors", metadata={"format": "pt"})


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()


DAMAGE: dict[Callable[[Path], object], str] = {
    pickled: r"no \*.safetensors",
    cut: "cannot be loaded",
    without_a_layer: "lack 9 of its weights",
    without_tokenizer: "no readable tokenizer",
    shutil.rmtree: "no such folder",
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.items(), ids=DAMAGE.values())
def test_refused_in_one_line(
    llama: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    folder = shutil.copytree(llama, tmp_path / "llm")
    damage(folder)
    with pytest.raises(ScReaderError, match=message) as error:
        load_llm(str(folder), instruction="Genes of")
    assert "\n" not in str(error.value)


def test_the_packaged_one_is_not_quantized() -> None:
    try:
        packaged_gguf()
    except ScReaderError:
        pytest.skip("the packaged LLM is not installed")
    with pytest.raises(ScReaderError, match="--quantize 8bit works neither"):
        load_llm("packaged", instruction="", quantize="8bit")


@pytest.mark.parametrize("quantize", ["8bit", "4bit"])
def test_quantized(llama: Path, quantize: str) -> None:
    pytest.importorskip("bitsandbytes", reason="the gpu extra is not installed")
    llm = load_llm(str(llama), instruction="Genes of", quantize=quantize)
    values = torch.randn(1, 4, 32, dtype=llm.model.dtype, requires_grad=True)
    output = llm.model(inputs_embeds=values, use_cache=False).last_hidden_state
    output.float().square().sum().backward()
    assert values.grad is not None and values.grad.abs().sum() > 0
    assert "bitsandbytes" in type(llm.model.layers[0].mlp.up_proj).__module__


def test_quantizing_without_its_package(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ScReaderError, match=r"suite\[gpu\]"):
        load_llm(str(llama), instruction="", quantize="8bit")
