"""Writes what an image holds as CycloneDX 1.6: Python's packages and Debian's.

python containers/sbom.py IMAGE CREATED TARGET    (inside the image; CREATED in ISO 8601)

Needs the standard library alone, and is the same for the same image.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import uuid
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

OWN = "screader-suite"
Component = dict[str, Any]


def licences(metadata: Any) -> list[dict[str, Any]]:
    """A package's licence: an SPDX expression where it gives one, otherwise its own words."""
    expression = metadata.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    classifiers = metadata.get_all("Classifier") or []
    names = [line.rsplit(" :: ", 1)[-1] for line in classifiers if line.startswith("License ::")]
    words = (metadata.get("License") or "").strip().split("\n")[0][:100]
    names = names or [words or "not stated"]
    return [{"license": {"name": name}} for name in names]


def python_component(found: Distribution) -> Component:
    """One installed distribution."""
    name = found.metadata["Name"].lower().replace("_", "-").replace(".", "-")
    address = f"pkg:pypi/{name}@{quote(found.version, safe='.')}"
    return {
        "type": "library",
        "bom-ref": address,
        "name": name,
        "version": found.version,
        "licenses": licences(found.metadata),
        "purl": address,
    }


def debian_components() -> list[Component]:
    """Debian's installed packages; none where there is no dpkg."""
    wanted = "-f=${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", wanted], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        return []
    result = []
    for line in sorted(done.stdout.splitlines()):
        status, name, version, architecture = line.split("\t")
        if status == "installed":
            address = f"pkg:deb/debian/{name}@{quote(version, safe='.')}?arch={architecture}"
            result.append(
                {
                    "type": "library",
                    "bom-ref": address,
                    "name": name,
                    "version": version,
                    "purl": address,
                }
            )
    return result


def bill(image: str, created: str) -> dict[str, Any]:
    """The whole document."""
    python = sorted(map(python_component, distributions()), key=lambda one: one["purl"])
    interpreter = f"pkg:generic/python@{platform.python_version()}"
    components = [
        {
            "type": "platform",
            "bom-ref": interpreter,
            "name": "python",
            "version": platform.python_version(),
            "licenses": [{"expression": "PSF-2.0"}],
            "purl": interpreter,
        },
        *(one for one in python if one["name"] != OWN),
        *debian_components(),
    ]
    suite = next(one for one in python if one["name"] == OWN)
    whole = {"type": "container", "bom-ref": image, "name": image, "version": suite["version"]}
    content = json.dumps([whole, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {"timestamp": created, "component": {**whole, "components": [suite]}},
        "components": components,
    }


if __name__ == "__main__":
    image, created, target = sys.argv[1:]
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps(bill(image, created), indent=1) + "\n", "utf-8")
