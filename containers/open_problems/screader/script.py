import anndata as ad
import pandas as pd

import screader

## VIASH START
par = {
    "input_train": "resources_test/task_label_projection/cxg_immune_cell_atlas/train.h5ad",
    "input_test": "resources_test/task_label_projection/cxg_immune_cell_atlas/test.h5ad",
    "output": "output.h5ad",
}
meta = {
    "name": "screader",
}
## VIASH END

# A component of each: two layers of a frozen LLM over embedded gene texts; the texts' words alone
SETTINGS = {
    "screader": {"method": "screader", "llm_layers": 2},
    "screader_pooled": {"method": "pooled", "embeddings": "tfidf"},
}
GENES = {"layer": "counts", "gene_column": "feature_name"}

print("Load input data", flush=True)
input_train = ad.read_h5ad(par["input_train"])
input_test = ad.read_h5ad(par["input_test"])

print("Train a reader", flush=True)
reader = screader.train(
    input_train,
    label="label",
    donor="batch",
    organism=input_train.uns.get("dataset_organism", "homo_sapiens"),
    **GENES,
    **SETTINGS[meta["name"]],
)

print("Call the test cells", flush=True)
# Every cell needs a label, however unsure or unlike the training cells it is
calls = reader.predict(input_test, min_confidence=0, force=True, **GENES)
label_pred = calls["screader_label"]
if "screader_consensus_label" in calls:  # with a cell's neighbours, from 50 cells
    label_pred = calls["screader_consensus_label"].fillna(label_pred)
label_pred = label_pred.astype(object).fillna(input_train.obs["label"].mode()[0])

print("Create output data", flush=True)
output = ad.AnnData(
    obs=pd.DataFrame({"label_pred": label_pred.astype(str)}, index=input_test.obs.index),
    uns={
        "method_id": meta["name"],
        "dataset_id": input_test.uns["dataset_id"],
        "normalization_id": input_test.uns["normalization_id"],
    },
)

print("Write output data", flush=True)
output.write_h5ad(par["output"], compression="gzip")
