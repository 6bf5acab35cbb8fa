"""Write the part of .shed.yml that says which files each tool's repository holds.

python galaxy_wrappers/make_shed.py [--check]

A repository has its wrapper, the macros it imports, the data tables if it uses any, and the test
data of its own tests.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHED = HERE / ".shed.yml"
MARK = "# Written by make_shed.py:\n"
TABLES = ["tool_data_table_conf.xml.sample", "tool_data_table_conf.xml.test"]


def wrappers() -> list[Path]:
    """The tools, the data manager last."""
    files = [*sorted(HERE.glob("*.xml")), *sorted(HERE.glob("data_manager/*.xml"))]
    return [file for file in files if "<tool " in file.read_text("utf-8")]


def imported(text: str) -> list[Path]:
    """The macro files that a wrapper imports."""
    names = re.findall(r"<import>(?:\.\./)?([^<]+)</import>", text)
    return [HERE / name for name in names if (HERE / name).is_file()]


def macros_of(text: str, files: list[Path]) -> str:
    """The text with that of the macros it expands, and of those that these expand."""
    found = [
        re.findall(r'(<xml name="([^"]+)".*?</xml>)', file.read_text("utf-8"), re.DOTALL)
        for file in files
    ]
    macros = {name: block for blocks in found for block, name in blocks}
    seen: set[str] = set()
    while wanted := set(re.findall(r'macro="([^"]+)"', text)) & macros.keys() - seen:
        seen |= wanted
        text += "".join(macros[name] for name in sorted(wanted))
    return text


def test_data(text: str) -> list[str]:
    """The files of test-data that a wrapper's tests name; of a folder, all files."""
    named = {part for value in re.findall(r'"([^"<>]+)"', text) for part in value.split(",")}
    found: set[str] = set()
    for name in named:
        path = HERE / "test-data" / name
        if path.is_file():
            found.add(f"test-data/{name}")
        elif name.strip("./") and path.is_dir():
            found |= {f"test-data/{name}/{file.name}" for file in path.iterdir()}
    return sorted(found)


def includes(wrapper: Path) -> list[str]:
    """What the repository of a wrapper holds."""
    text = wrapper.read_text("utf-8")
    macros = imported(text)
    whole = macros_of(text, macros)
    names = [wrapper.relative_to(HERE).as_posix(), *(file.name for file in macros)]
    data = test_data(whole)
    if wrapper.parent != HERE:
        names.append("data_manager/data_manager_conf.xml")
    if wrapper.parent != HERE or "from_data_table=" in whole:
        names += TABLES
        for sample in sorted((HERE / "tool-data").glob("*.loc.sample")):
            table = sample.name.removesuffix(".sample")
            names.append(f"tool-data/{sample.name}")
            rows = (HERE / "test-data" / table).read_text("utf-8")
            paths = re.findall(r"\$\{__HERE__\}/(\S+)", rows)
            data += [f"test-data/{table}", *test_data("".join(f'"{path}"' for path in paths))]
    return [*names, *sorted(set(data))]


def repositories() -> str:
    """The generated part."""
    lines = ["repositories:"]
    for wrapper in wrappers():
        text = wrapper.read_text("utf-8")
        identity, name = re.findall(r'<tool id="([^"]+)" name="([^"]+)"', text)[0]
        lines += [f"  {identity}:", f"    description: '{name}'", "    include:"]
        lines += [f"      - {file}" for file in includes(wrapper)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write it, or say with --check whether it is up to date."""
    kept = SHED.read_text("utf-8").partition(MARK)[0]
    new = kept + MARK + repositories()
    if "--check" in sys.argv:
        return 0 if new == SHED.read_text("utf-8") else 1
    SHED.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
