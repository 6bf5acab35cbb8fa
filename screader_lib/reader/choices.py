"""The values that options of the reader may take; imports nothing, for a quick --help."""

METHODS = (
    "screader",
    "screader-random",
    "pooled",
    "genept",
    "genept-w",
    "genept-s",
    "logistic",
    "majority",
)
WITH_LLM = ("screader", "screader-random")
WITH_CLASSIFIER = ("genept-w", "genept-s")
WITH_TEXT_MODEL = ("genept-s",)
CLASSIFIERS = ("logistic", "knn")
TRAINED_IN_STEPS = (*WITH_LLM, "pooled", "genept")
RECIPES = ("default", "paper")
ORDERS = ("instruction-cell-cls", "cell-instruction-cls")
POSITIONS = ("none", "rank")
SCALINGS = ("none", "standardise", "whiten")
READ_OUTS = ("cls", "mean", "pool")
CLASS_WEIGHTS = ("none", "root", "balanced")
PRECISIONS = ("auto", "float32", "bfloat16")
QUANTIZATIONS = ("none", "fp8", "8bit", "4bit")
DEVICES = ("auto", "cpu", "cuda", "spread")
PACKAGED = "packaged"
WEIGHED = ("token", "embedding")
INITIALS = ("scaled", "paper")
SCHEDULES = ("cosine", "constant")
