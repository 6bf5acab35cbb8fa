"""The values that options may take; imports nothing, so that ``--help`` is quick."""

from __future__ import annotations

# build-cells
RANKINGS = ("expression", "median-ratio")
WEIGHTS = ("log", "median-ratio", "normalised", "expression", "rank", "none")
SELECTIONS = ("variable", "all")
VALUE_KINDS = ("auto", "counts", "tpm", "log", "log2", "log10")
NORMALISATIONS = ("auto", "totals", "reader", "none")

# embed-genes
PROVIDERS = ("packaged", "tfidf", "sentence-transformers", "openai", "hidden-states")

# train-reader and predict
METHODS = (
    "screader",
    "screader-random",
    "pooled",
    "genept",
    "genept-w",
    "genept-s",
    "logistic",
    "components",
    "few-labels",
    "majority",
)
LLM_METHODS = ("screader", "screader-random")
CLASSIFIER_METHODS = ("genept-w", "genept-s")
TEXT_MODEL_METHODS = ("genept-s",)
LABEL_TEXT_METHODS = ("logistic",)  # whose weights may start from what is written of the labels
UNLABELLED_METHODS = ("few-labels",)  # that cells without a label take part in
SLOW_METHODS = (*LLM_METHODS, *TEXT_MODEL_METHODS)
CALIBRATIONS = ("donors", "cells")
CLASSIFIERS = ("logistic", "knn")
ITERATIVE_METHODS = (*LLM_METHODS, "pooled", "genept")
RECIPES = ("default", "paper")
PAPER_METHODS = (*LLM_METHODS, "genept")  # that the paper's recipe is for
ORDERS = ("instruction-cell-cls", "cell-instruction-cls")
POSITIONS = ("none", "rank")
SCALINGS = ("none", "standardise", "partial-whiten", "whiten")
POOLINGS = ("cls", "mean", "pool")
CLASS_WEIGHTS = ("none", "root", "balanced")
PRECISIONS = ("auto", "float32", "bfloat16")
QUANTIZATIONS = ("none", "fp8", "8bit", "4bit")
DEVICES = ("auto", "cpu", "cuda", "spread")
BY_EXAMPLES = "examples"  # the method of annotate --examples
BY_TYPES = "types"  # the method of annotate --types without a reader
PACKAGED = "packaged"
WEIGHT_TARGETS = ("token", "embedding")
INITS = ("scaled", "paper")
SCHEDULES = ("cosine", "constant")
