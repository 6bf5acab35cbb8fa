"""The components for Open Problems: configurations by the task's rules, the script on its files."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import yaml
from scipy import sparse

ROOT = Path(__file__).parents[2]
COMPONENTS = ROOT / "containers" / "open_problems"
NAMES = ("screader", "screader_pooled")
SCRIPT = COMPONENTS / "screader" / "script.py"
BLOCK = re.compile(r"## VIASH START\n(.*?)## VIASH END", re.DOTALL)
GENES = ["INS", "GCG", "SST", "PPY", "KRT19", "PRSS1", "COL1A1", "PECAM1", "CD68", "SPARC",
         "TTR", "CHGB", "IAPP", "SPP1", "CPA1", "REG1A"]  # fmt: skip
LENGTHS = {"name": 50, "label": 50, "summary": 400, "description": 5_000}
LABELS = ({"lowtime", "midtime", "hightime"}, {"lowmem", "midmem", "highmem"},
          {"lowcpu", "midcpu", "highcpu"})  # fmt: skip


def config_of(name: str) -> dict[str, Any]:
    return yaml.safe_load((COMPONENTS / name / "config.vsh.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_configurations_follow_the_tasks_rules(name: str) -> None:
    """Those of its check_config.py, but for addresses that are asked for over the network."""
    config = config_of(name)
    assert config["__merge__"] == "/src/api/comp_method.yaml" and config["name"] == name
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    for field, most in LENGTHS.items():
        assert 0 < len(config[field]) <= most
    assert re.match(r"^10.\d{4,9}/[-._;()/:A-Za-z0-9]+$", config["references"]["doi"])
    assert {"documentation", "repository"} <= set(config["links"])
    assert config["info"] == {"preferred_normalization": "counts", "variants": {name: None}}
    runners = {runner["type"]: runner for runner in config["runners"]}
    given = set(runners["nextflow"]["directives"]["label"])
    assert all(given & known for known in LABELS) and given <= set().union(*LABELS)
    assert set(runners) == {"executable", "nextflow"}
    [engine] = config["engines"]
    assert engine["type"] == "docker" and engine["image"].startswith("openproblems/base_")
    assert engine["setup"][0] == {"type": "python", "packages": ["screader-suite"]}


def test_models_are_those_that_the_suite_packages() -> None:
    [command] = [step["run"] for step in config_of("screader")["engines"][0]["setup"][1:]]
    embedded = (ROOT / "requirements" / "embedded.txt").read_text("utf-8")
    named = re.findall(r"\S+==\S+", command)
    assert len(named) == 2 and all(re.search(rf"^{name}\s", embedded, re.M) for name in named)


def test_both_components_run_the_script_with_settings_of_their_own() -> None:
    [first, second] = [config_of(name)["resources"][0] for name in NAMES]
    assert first == {"type": "python_script", "path": "script.py"}
    assert second == {"type": "python_script", "path": "/src/methods/screader/script.py"}
    assert all(f'    "{name}": {{' in SCRIPT.read_text("utf-8") for name in NAMES)


def cells(number: int, seed: int) -> anndata.AnnData:
    """Cells of two labels, each with four genes of its own, in two batches."""
    dice = np.random.default_rng(seed)
    kinds = dice.integers(2, size=number)
    rates = np.ones((2, len(GENES)))
    rates[0, :4] = rates[1, 4:8] = 30
    values = dice.poisson(rates[kinds]).astype(np.int64)
    values[-1] = 0  # a cell without counts, which needs a label too
    counts = sparse.csr_matrix(values)
    return anndata.AnnData(
        obs={"label": np.array(["beta cell", "duct cell"])[kinds],
             "batch": np.array(["1", "2"])[np.arange(number) % 2]},
        var={"feature_id": [f"ENSG{number:011}" for number in range(len(GENES))],
             "feature_name": GENES, "hvg": True, "hvg_score": 1.0},
        layers={"counts": counts, "normalized": counts.log1p()},
        obsm={"X_pca": dice.normal(size=(number, 5))},
        uns={"dataset_id": "small", "normalization_id": "log_cp10k",
             "dataset_organism": "homo_sapiens"},
        shape=(number, len(GENES)),
    )  # fmt: skip


def test_the_script_writes_the_tasks_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as viash runs it: with parameters in place of the block that it marks."""
    train, test = cells(200, 1), cells(60, 2)
    train.obs_names, test.obs_names = (
        [f"{name}{number}" for number in range(len(data))]
        for name, data in (("train", train), ("test", test))
    )
    true = test.obs["label"].to_numpy(str)
    del test.obs["label"], test.var["feature_id"]
    train.write_h5ad(tmp_path / "train.h5ad")
    test.write_h5ad(tmp_path / "test.h5ad")
    text = SCRIPT.read_text("utf-8")
    block = BLOCK.search(text)
    assert block
    example: dict[str, Any] = {}
    exec(block[1], example)
    assert set(example["par"]) == {"input_train", "input_test", "output"}
    par = {name: str(tmp_path / Path(path).name) for name, path in example["par"].items()}
    code = text.replace(block[0], f"par = {par!r}\nmeta = {{'name': 'screader_pooled'}}")
    (tmp_path / "run.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(tmp_path / "run.py"), run_name="__main__")
    made = anndata.read_h5ad(par["output"])
    assert made.obs_names.equals(test.obs_names) and made.obs.columns.tolist() == ["label_pred"]
    assert dict(made.uns) == {
        "dataset_id": "small", "normalization_id": "log_cp10k", "method_id": "screader_pooled",
    }  # fmt: skip
    called = made.obs["label_pred"].to_numpy(str)
    assert set(called) == set(true) and (called == true)[:-1].mean() > 0.95
