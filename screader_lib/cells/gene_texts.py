"""Which texts of which species' genes were embedded: whether two embeddings may be compared.

Genes that have no name in common are matched by their texts. That means something only where both
texts have the same fields and were embedded by the same model.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from screader_lib.errors import ScReaderError
from screader_lib.exchange.provenance import Record
from screader_lib.genes.records import organism_of

IMPORTED = "import"  # the provider of vectors that were not made by embed-genes
MIN_SHARED = 0.1  # of the ids of the shorter list; with fewer in common, unnamed species differ
LAYER = re.compile(r"(.+) layer (-?\d+)")  # the model of hidden states


@dataclass(frozen=True)
class GeneTexts:
    """The model and the width of gene embeddings, and of what texts they are.

    ``fields`` as fetch-descriptions lists them, empty where unknown; ``species`` are NCBI taxonomy
    ids, none where unknown.
    """

    model: str = ""
    provider: str = ""
    dim: int = 0
    fields: tuple[str, ...] = ()
    species: frozenset[int] = frozenset()

    @classmethod
    def of(cls, identity: Mapping[str, Any], steps: Iterable[Record]) -> GeneTexts:
        """By the ``embedding`` of cells or a reader, and by their history where that lacks it."""
        steps, provider = tuple(steps), str(identity.get("provider", ""))
        fields = identity.get("fields")
        if fields is None:
            fields = "" if provider == IMPORTED else fields_in(steps)
        species = identity.get("species")
        return cls(
            str(identity.get("model", "")),
            provider,
            int(identity.get("dim", 0)),
            tuple(field.strip() for field in str(fields).split(",") if field.strip()),
            species_in(steps) if species is None else frozenset(map(int, species)),
        )

    def difference(self, other: GeneTexts, name: str) -> str:
        """How these embeddings differ from the ``other`` ones, those of ``name``; "" if not.

        Unknown fields are taken to be the same.
        """
        if (self.model, self.dim) != (other.model, other.dim):
            return (
                f"embedded by {self.model} ({self.dim} dimensions), those of {name} by "
                f"{other.model} ({other.dim} dimensions)"
            )
        if self.fields and other.fields and self.fields != other.fields:
            return (
                f"embedded from texts of the fields {','.join(self.fields)}, those of {name} from "
                f"{','.join(other.fields)}"
            )
        return ""

    def commands(self, organism: str, genes: str, output: str) -> str:
        """The commands that embed the genes of a file of another species in the same way."""
        fields = f" --fields {','.join(self.fields)}" if self.fields else ""
        return (
            f"fetch-descriptions --genes {shlex.quote(genes)} --organism {shlex.quote(organism)}"
            f"{fields} | {self._embed_command()} -o {shlex.quote(output)}"
        )

    def _embed_command(self) -> str:
        model, layer = self.model, ""
        if self.provider == "hidden-states" and (split := LAYER.fullmatch(model)):
            model, layer = split[1], f" --layer {split[2]}"
        name = f" --model {shlex.quote(model)}"
        return "embed-genes" + {
            "packaged": "",
            "tfidf": " --like FILE",
            "sentence-transformers": name,
            IMPORTED: f" --import FILE{name}",
        }.get(self.provider, f" --provider {self.provider}{name}{layer}")


UNKNOWN = GeneTexts()


def fields_in(steps: Iterable[Record]) -> str:
    """The fields of the gene texts in a file's history; empty where there are several or none."""
    known = {
        str(step.parameters.get("fields", ""))
        for step in steps
        if step.tool == "fetch-descriptions"
    }
    return known.pop() if len(known) == 1 else ""


def species_in(steps: Iterable[Record]) -> frozenset[int]:
    """NCBI taxonomy ids of the species whose gene texts were fetched in a file's history."""
    species = set()
    for step in steps:
        if step.tool == "fetch-descriptions":
            with suppress(ScReaderError):
                species.add(organism_of(str(step.parameters.get("organism"))).tax_id)
    return frozenset(species)


def common_name(tax_id: int) -> str:
    """A species in words, such as ``mouse``; its NCBI id where it has no name here."""
    organism = organism_of(str(tax_id))
    return organism.common or organism.name or str(tax_id)


def is_other_species(
    species: frozenset[int], ids: Iterable[str], other: frozenset[int], other_ids: Iterable[str]
) -> bool:
    """Whether genes are of another species than the ``other`` ones.

    By taxonomy ids; where these do not tell, by whether the gene ids differ.
    """
    if species and other:
        if not species & other:
            return True
        if len(species) == len(other) == 1:
            return False
    own, others = set(ids), set(other_ids)
    return len(own & others) < MIN_SHARED * min(len(own), len(others))
