"""Commands in images of both kinds, as nobody in particular."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[2]
OTHER_USER = 4321  # nobody whom an image knows
TOOLS = {
    "screader": [
        "fetch-descriptions",
        "embed-genes",
        "prepare-cells",
        "build-cells",
        "train-reader",
        "predict",
        "annotate",
        "plot",
        "screader",
    ],
    "screader-gpu": ["train-reader", "predict", "annotate", "screader"],
}
UNPRIVILEGED = 1  # daemon: Apptainer wants a user whom the machine knows
PIPELINE = Path(__file__).with_name("pipeline.sh")
# Another kernel of the linear algebra rounds otherwise than the one used outside.
KERNELS = {key: value for key, value in os.environ.items() if key.startswith("OPENBLAS_")}


def kind_of(name: str) -> str:
    """screader or screader-gpu, from the name of an image or a file of one."""
    return "screader-gpu" if "screader-gpu" in Path(name).name else "screader"


def in_image(
    image: str,
    *command: str,
    folder: Path | None = None,
    mounts: Mapping[Path, str] = MappingProxyType({}),
) -> str:
    """Standard output of a command in an image: another user, no network, read-only root."""
    mounted = ["--volume", f"{folder}:/data"] if folder else []
    mounted += [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
    words = ["podman", "run", "--rm", "--network=none", "--read-only", f"--user={OTHER_USER}:0"]
    words += [f"--env={key}={value}" for key, value in KERNELS.items()]
    done = subprocess.run(
        [*words, *mounted, image, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def as_nobody(*command: str, **more: str) -> str:
    """Standard output of a command as an unprivileged user without a home."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": "/tmp", **more}
    environment |= {f"APPTAINERENV_{key}": value for key, value in KERNELS.items()}
    user = [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    words = ["setpriv", *user, "--inh-caps=-all", "--no-new-privs", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def locked(kind: str) -> dict[str, str]:
    """Package → version of an image's lock file; names in lower case."""
    text = (ROOT / "containers" / "locks" / f"{kind}.txt").read_text("utf-8")
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ \\]+)", text, re.MULTILINE)
    return {re.sub("[._-]+", "-", name).lower(): version for name, version in found}
