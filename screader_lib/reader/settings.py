"""Every setting of a training, the recipes, and the stages that settings ask for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.option_values import LLM_METHODS, PACKAGED, PAPER_METHODS

INSTRUCTION = "Genes that one cell expresses, the most distinctive first. The type of this cell is"

# Readers written before 0.1.0 was released call these settings otherwise.
RENAMED = {"weigh": "weight_on", "initial": "init", "read_out": "pooling"}


@dataclass(frozen=True)
class TrainingSettings:
    """Every setting of a training; stored in the reader. Defaults are the recipe that learns best.

    ``pooling`` lists what the head reads, joined: the LLM's output at ``cls``, the ``mean`` of
    its outputs over the genes, and the ``pool``, the weighted mean of the projected genes that
    goes around the LLM. ``gene_scores`` adds what each gene says for each label by itself.
    ``gene_offsets`` is the spread of the genes' own vectors at the start, 0 for none.
    The warm start ends after ``warm_start_steps`` at the latest, 0 for no limit.
    ``cells_per_label`` are used of each label at most, 0 all.
    ``patience`` ends a stage after so many checks without a better one, 0 never.
    """

    method: str = "screader"
    llm: str = PACKAGED
    llm_layers: int | None = None
    llm_revision: str | None = None
    precision: str = "auto"
    quantize: str = "none"
    instruction: str = INSTRUCTION
    order: str = "instruction-cell-cls"
    position: str = "none"
    genes_per_cell: int = 64
    scaling: str = "partial-whiten"
    weight_on: str = "token"
    projector_layers: int = 1
    pooling: tuple[str, ...] = ("cls", "mean", "pool")
    init: str = "scaled"
    gene_scores: bool = True
    gene_offsets: float = 0.0
    warm_start_epochs: int = 20
    warm_start_steps: int = 5000
    warm_start_learning_rate: float = 2e-3
    epochs: int = 1
    learning_rate: float = 5e-4
    warm_up_steps: int = 10
    schedule: str = "cosine"
    weight_decay: float = 0.01
    batch_size: int = 64
    dropout: float = 0.2
    gene_dropout: float = 0.3
    class_weights: str = "none"
    classifier: str = "logistic"
    neighbours: int = 10
    cells_per_label: int = 0
    validation: float = 0.1
    patience: int = 0
    micro_batch_tokens: int = 16_384
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)

    def changed(self, given: dict[str, Any]) -> TrainingSettings:
        """These settings with those ``given`` put over them (None means not given)."""
        return replace(self, **{key: value for key, value in given.items() if value is not None})

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> TrainingSettings:
        """From a file."""
        content = {RENAMED.get(name, name): value for name, value in content.items()}
        return cls(**{**content, "pooling": tuple(content["pooling"])})


# The paper's experiments: section 4.1. Its projector takes e × value, five layers of SiLU.
PAPER = {
    "genes_per_cell": 2048,
    "order": "cell-instruction-cls",
    "scaling": "none",
    "weight_on": "embedding",
    "projector_layers": 5,
    "pooling": ("cls",),
    "init": "paper",
    "gene_scores": False,
    "gene_offsets": 0.0,
    "warm_start_epochs": 0,
    "warm_start_steps": 0,
    "epochs": 10,
    "learning_rate": 5e-5,
    "warm_up_steps": 1000,
    "schedule": "constant",
    "weight_decay": 0.0,
    "batch_size": 64,
    "dropout": 0.0,
    "gene_dropout": 0.0,
}

# The paper's ablation without an LLM: the weighted mean of a cell's gene embeddings, projector,
# head; the paper's optimiser and initial weights.
PAPER_GENEPT: dict[str, Any] = {
    **PAPER,
    "pooling": ("pool",),
    "epochs": 0,
    "warm_start_epochs": 10,
    "warm_start_learning_rate": 5e-5,
}

# The same with embeddings and means standardised and the full learning rate from the first step,
# without which ten epochs on a few thousand cells stay near the majority class.
GENEPT: dict[str, Any] = {**PAPER_GENEPT, "scaling": "standardise", "warm_up_steps": 0}

# The default recipe with the LLM left out.
POOLED: dict[str, Any] = {"pooling": ("pool",), "epochs": 0}

# What each recipe sets for the methods that it does not leave at the defaults.
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "default": {"genept": GENEPT, "pooled": POOLED},
    "paper": {**dict.fromkeys(LLM_METHODS, PAPER), "genept": PAPER_GENEPT},
}


def settings_for(method: str, recipe: str, given: dict[str, Any]) -> TrainingSettings:
    """The recipe's settings with those ``given`` put over them (None means not given).

    The paper's recipe is for PAPER_METHODS only: ValueError with others.
    """
    if recipe == "paper" and method not in PAPER_METHODS:
        raise ValueError(f"the paper has no settings for method {method}")
    base = RECIPES[recipe].get(method, {})
    return replace(TrainingSettings(method=method), **base).changed(given)


@dataclass(frozen=True)
class Stage:
    """One stage of a training: the poolings that are trained, for how long and how fast.

    It ends after ``most_steps`` at the latest, 0 for no limit.
    """

    number: int
    name: str
    poolings: tuple[str, ...]
    epochs: int
    learning_rate: float
    most_steps: int = 0

    def steps(self, cells: int, batch_size: int) -> int:
        """How many steps it takes on so many ``cells``, ``batch_size`` a step."""
        steps = math.ceil(cells / batch_size) * self.epochs
        return min(steps, self.most_steps) if self.most_steps else steps


def stages_of(settings: TrainingSettings) -> list[Stage]:
    """The stages in order, at least one: a warm start of the pooling ``pool`` alone, then all.

    The reader uses the poolings of the last one. ScReaderError where the settings leave nothing
    to train, or use an LLM that the method does not have.
    """
    if "cls" in settings.pooling and settings.method not in LLM_METHODS:
        raise ScReaderError(
            f"method {settings.method} has no LLM whose output at cls could be read.",
            remedy="Leave cls out of --pooling.",
        )
    stages = []
    if "pool" in settings.pooling and settings.warm_start_epochs:
        epochs, most = settings.warm_start_epochs, settings.warm_start_steps
        rate = settings.warm_start_learning_rate
        stages.append(Stage(0, "warm start", ("pool",), epochs, rate, most))
    if settings.epochs and set(settings.pooling) != {"pool"}:
        rate = settings.learning_rate
        stages.append(Stage(1, "LLM stage", settings.pooling, settings.epochs, rate))
    if not stages:
        raise ScReaderError(
            f"nothing to train: the poolings {','.join(settings.pooling)} with "
            f"{settings.warm_start_epochs} warm-start epochs and {settings.epochs} epochs.",
            remedy="Give --epochs, or --warm-start-epochs with pool in --pooling.",
        )
    return stages


def warm_up_problem(settings: TrainingSettings, cells: int) -> str | None:
    """Which stage of a training on so many ``cells`` ends within its warm-up, and what to change.

    None where the learning rate reaches its peak in every stage.
    """
    for stage in stages_of(settings):
        steps = stage.steps(cells, settings.batch_size)
        if steps < settings.warm_up_steps:
            option = "--epochs" if stage.number else "--warm-start-epochs"
            least = -(-settings.warm_up_steps // math.ceil(cells / settings.batch_size))
            if steps == stage.most_steps:
                option, least = "--warm-start-steps", settings.warm_up_steps
            return (
                f"the {stage.name} has {steps:,} steps ({cells:,} cells, {settings.batch_size} a "
                f"step, {stage.epochs} epochs), fewer than its {settings.warm_up_steps:,} warm-up "
                f"steps: the learning rate reaches {steps / settings.warm_up_steps:.0%} of "
                f"{stage.learning_rate:g}, and the reader may stay at the most frequent label. "
                f"Lower --warm-up-steps (such as {steps // 10}), or raise {option} above {least}."
            )
    return None


def learning_rate_factor(step: int, steps: int, settings: TrainingSettings) -> float:
    """The learning rate of ``step``, from 0 of ``steps``, as a share of the highest."""
    warm_up = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
    if settings.schedule == "constant":
        return warm_up
    return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
