"""Nothing private, and nothing left over, in any layer of an image."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FORBIDDEN = re.compile(
    r"(^|/)(pip\.conf|pip\.ini|\.?pypirc|\.netrc|_netrc|\.git|\.ssh|\.aws|\.docker|\.config|\.npmrc"
    r"|\.bash_history|\.python_history|\.env|auth\.json|credentials(\.json)?|id_[a-z0-9]+(\.pub)?"
    r"|\.cache|direct_url\.json|uv\.toml)(/|$)|\.(key|p12|pfx|jks|whl|deb)$"
    r"|^(source|containers|wheels|mnt|run/secrets|root)/.|^tmp/.|^var/(tmp|lib/apt/lists)/."
    r"|^var/cache/apt/.*\.(bin|deb)$|^etc/(ssl|pip|resolv\.conf|hosts$)"
)
KEPT = re.compile(r"/(huggingface_hub|hf_xet|openai|transformers|gguf)/|/certifi/cacert\.pem$")
SECRET = re.compile(
    rb"-----BEGIN (RSA |EC |OPENSSH |ENCRYPTED |DSA )?PRIVATE KEY-----\s+[A-Za-z0-9+/]"
)
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s+[A-Za-z0-9+/]")
LARGEST = 4_000_000  # bytes of a file that is searched for text


def in_archive(archive: str, name: str) -> io.BufferedReader:
    opened = tarfile.open(archive).extractfile(name)  # noqa: SIM115  # closed with the process
    assert opened is not None
    return opened  # type: ignore[return-value]


@cache
def described(archive: str) -> tuple[dict, list[str]]:
    """An image's configuration and its layers, of an archive as docker and podman save it."""
    manifest = json.load(in_archive(archive, "manifest.json"))[0]
    return json.load(in_archive(archive, manifest["Config"])), manifest["Layers"]


def own_layers(archive: str) -> list[str]:
    """The layers above the base image."""
    base = subprocess.run(
        ["podman", "inspect", os.environ["SCREADER_TEST_BASE"]], capture_output=True, check=True
    )
    below = json.loads(base.stdout)[0]["RootFS"]["Layers"]
    config, layers = described(archive)
    assert config["rootfs"]["diff_ids"][: len(below)] == below, "not made from this base"
    return layers[len(below) :]


def members(archive: str, layer: str) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(fileobj=in_archive(archive, layer), mode="r|*") as content:
        for member in content:
            yield content, member


def known_here() -> list[bytes]:
    """What this machine's settings hold that no image should: addresses, folders, secrets."""
    settings = [
        Path("/etc/pip.conf"),
        Path("/etc/xdg/pip/pip.conf"),
        Path.home() / ".config/pip/pip.conf",
        Path.home() / ".pip/pip.conf",
    ]
    words = []
    for path in filter(Path.is_file, settings):
        words += re.findall(r"(?:https?|file)://[^\s/]+/[^\s]*|/opt/[^\s]+", path.read_text())
    for name, value in os.environ.items():
        secret = re.search(r"TOKEN|SECRET|PASSWORD|API_KEY|INDEX_URL|FIND_LINKS", name)
        if secret and len(value) > 7 and "SCREADER" not in name:
            words.append(value)
    return [word.encode() for word in {*words, str(Path(__file__).parents[2]) + "/"}]


def private(name: str, content: bytes, words: list[bytes]) -> list[str]:
    """Why a file should not be in a layer."""
    found = [f"{name}: {word.decode()}" for word in words if word in content]
    if SECRET.search(content):
        found.append(f"{name}: a private key")
    if CERTIFICATE.search(content) and not KEPT.search(f"/{name}"):
        found.append(f"{name}: a certificate")
    return found


def test_layers_hold_nothing_private(archive: str) -> None:
    words, found, seen = known_here(), [], 0
    for layer in own_layers(archive):
        for content, member in members(archive, layer):
            name = member.name.removeprefix("./")
            seen += 1
            if FORBIDDEN.search(name) and not KEPT.search(f"/{name}") and not whiteout(name):
                if not member.isdir():
                    found.append(name)
            elif member.isfile() and member.size <= LARGEST:
                opened = content.extractfile(member)
                assert opened is not None
                found += private(name, opened.read(), words)
    assert seen > 1000
    assert not found


def whiteout(name: str) -> bool:
    """Whether an entry says that a file of a layer below is gone."""
    return Path(name).name.startswith(".wh.")


def test_configuration_and_history_hold_nothing_private(archive: str) -> None:
    config, _ = described(archive)
    text = json.dumps(config)
    assert not private("configuration", text.encode(), known_here())
    assert not re.search(r"PIP_|INDEX_URL|find-links|ca-certificates|/wheels", text)


def test_private_things_are_found() -> None:
    address = b"https://packages.example/simple"
    for content in (
        b"-----BEGIN PRIVATE KEY-----\nMIIE",
        b"-----BEGIN CERTIFICATE-----\nMIIE",
        b"index = " + address,
    ):
        assert private("opt/file", content, [address])
    for name in ("root/.config/pip/pip.conf", "etc/pip.conf", "home/user/.ssh/id_ed25519"):
        assert FORBIDDEN.search(name)
