"""Compiles what the executables import, for images whose root file system is read-only.

python containers/compile.py SITE_PACKAGES

Compiling everything installed would take 230 MB more, most of it for models of transformers that
nobody asks for. The compiled files hold no times, so the same sources give the same bytes.
"""

from __future__ import annotations

import compileall
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

OWN = ("screader", "screader_lib", "screader_tools")
IMPORTED = [
    "anndata", "bitsandbytes", "gguf", "h5py", "igraph", "isal.igzip", "jinja2",
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg", "matplotlib.pyplot", "openai", "rdata.parser", "scanpy",
    "scipy.sparse.linalg", "skmisc.loess", "sklearn.linear_model", "sklearn.neighbors", "torch",
    "transformers.modeling_gguf_pytorch_utils", "transformers.models.auto",
    "transformers.models.bert.modeling_bert", "transformers.models.bert.tokenization_bert",
    "transformers.models.gpt2.tokenization_gpt2", "transformers.models.llama.modeling_llama",
    "transformers.models.mistral.modeling_mistral", "transformers.models.qwen2.modeling_qwen2",
    "transformers.tokenization_utils_fast", "umap", "yaml", "zarr",
]  # fmt: skip


def load(name: str) -> None:
    """Import a module; one that needs a package the image lacks is reported and left out."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in OWN or importlib.util.find_spec(package) is not None:
            raise  # a file of an installed package is missing: the image is broken
        print(f"compile: without {name}, which needs {package}")


def own_modules() -> list[str]:
    """Every module of the suite."""
    names = []
    for package in map(importlib.import_module, OWN):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names += [module.name for module in found]
    return names


def main(packages: Path) -> None:
    """Import, then compile what came from ``packages``."""
    for name in (*IMPORTED, *own_modules()):
        load(name)
    files = {Path(file) for one in list(sys.modules.values()) if (file := origin(one))}
    for file in sorted(files):
        if file.suffix == ".py" and file.is_relative_to(packages):
            compileall.compile_file(
                file, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
            )


def origin(module: object) -> str | None:
    """A module's file; some modules answer with something else when asked."""
    file = vars(module).get("__file__") if hasattr(module, "__dict__") else None
    return file if isinstance(file, str) else None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
