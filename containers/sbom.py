"""Completes a CycloneDX bill of materials: Debian's packages, Python itself, the image's name.

python containers/sbom.py IMAGE BILL TARGET    (inside the image)

BILL holds Python's packages, as cyclonedx-py writes it in the build stage (install.sh).
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

OWN = "screader-suite"
FIELDS = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"


def component(kind: str, name: str, version: str, purl: str) -> dict[str, str]:
    """A component that is known by its package URL."""
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def debian_packages() -> list[dict[str, str]]:
    """The installed packages; none where there is no dpkg."""
    if not shutil.which("dpkg-query"):
        return []
    words = ["dpkg-query", "-W", f"-f={FIELDS}"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in sorted(text.splitlines()) if line.startswith("installed ")]
    return [
        component(
            "library",
            name,
            version,
            f"pkg:deb/debian/{name}@{quote(version, safe='.')}?arch={architecture}",
        )
        for _, name, version, architecture in rows
    ]


def main(image: str, source: str, target: str) -> None:
    """Write the whole bill; the suite itself is the main component, inside the image."""
    bill = json.loads(Path(source).read_text("utf-8"))
    python = platform.python_version()
    own = next(one for one in bill["components"] if one["name"] == OWN)
    bill["components"] = [
        component("platform", "python", python, f"pkg:generic/python@{python}"),
        *(one for one in bill["components"] if one is not own),
        *debian_packages(),
    ]
    whole = {"type": "container", "bom-ref": image, "name": image, "version": own["version"]}
    bill["metadata"]["component"] = {**whole, "components": [own]}
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps(bill, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
