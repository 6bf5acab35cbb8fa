"""The values that options of ``build-cells`` may take; imports nothing, for a quick --help."""

RANKINGS = ("expression", "median-ratio")
WEIGHTS = ("log", "median-ratio", "normalised", "expression", "rank", "none")
SELECTIONS = ("variable", "all")
VALUE_KINDS = ("auto", "counts", "log", "log2")
