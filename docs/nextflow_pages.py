"""The generated pages of the pipeline: its parameters, and where each option of a tool is set."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click

PIPELINE = Path(__file__).parents[1] / "nextflow"
MODULES = PIPELINE / "modules" / "screader-suite" / "screader"
PASSED_ON = {
    "fetch-descriptions": "--fetch-options",
    "embed-genes": "--embed-options",
    "prepare-cells": "--prepare-options",
    "build-cells": "--build-options",
    "train-reader": "--train-options",
    "predict": "--predict-options",
    "annotate": "--annotate-options",
    "plot": "--plot-options",
    "gather": "",
    "validate": "",
}
MADE = "<!-- Made by docs/generate.py. -->"


def option_name(parameter: str) -> str:
    """A parameter as it is typed: shardMegabytes is --shard-megabytes."""
    return "--" + re.sub(r"([A-Z])", r"-\1", parameter).lower()


def parameters_page() -> str:
    """All parameters by group, from nextflow_schema.json."""
    schema = json.loads((PIPELINE / "nextflow_schema.json").read_text("utf-8"))
    lines = [
        f"# Parameters of the pipeline\n\n{MADE}\n",
        "On the command line as `--shard-megabytes 200`, in a file for `-params-file` as "
        "`shardMegabytes: 200`. Values that begin with `-` need a file, or an equals sign: "
        "`--train-options='--llm-layers 2'`.\n",
    ]
    for group in schema["$defs"].values():
        lines += [f"## {group['title']}\n"]
        lines += [f"{group['description']}\n"] if group.get("description") else []
        lines += ["| parameter | meaning | values | default |", "|---|---|---|---|"]
        for name, spec in group["properties"].items():
            default = json.dumps(spec["default"]).strip('"') if "default" in spec else "–"
            what = spec["description"].replace("|", "\\|")
            lines.append(f"| `{option_name(name)}` | {what} | {_values(spec)} | {default} |")
        lines.append("")
    return "\n".join(lines)


def _values(spec: dict[str, Any]) -> str:
    if "enum" in spec:
        return ", ".join(spec["enum"])
    if "minimum" in spec:
        most = spec.get("maximum")
        return f"{spec['type']}, {spec['minimum']} to {most}" if most else f"{spec['type']}"
    if spec.get("format", "").endswith("path"):
        return {"file-path": "file", "directory-path": "folder"}.get(spec["format"], "path")
    return str(spec["type"])


def command_of(module: str) -> click.Command:
    """The command that a module runs."""
    found = import_module(f"screader_tools.{module.replace('-', '_')}").main
    assert isinstance(found, click.Command)
    return found


def options_of(module: str) -> dict[str, click.Parameter]:
    """Every option of a tool by its long name; of plot, of all its pictures."""
    command = command_of(module)
    commands = [command]
    if isinstance(command, click.Group):
        context = click.Context(command)
        commands = [
            found
            for name in command.list_commands(context)
            if (found := command.get_command(context, name))
        ]
    return {
        max(option.opts, key=len): option
        for one in commands
        for option in one.params
        if isinstance(option, click.Option)
    }


def set_by_module(module: str) -> set[str]:
    """Options that the module's script fills from its inputs and the task."""
    text = (MODULES / module.replace("-", "") / "main.nf").read_text("utf-8")
    script = text.split("    stub:")[0]
    found = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", script))
    found |= {f"--{name}" for name in re.findall(r"^        (\w+): ", script, re.MULTILINE)}
    return found - {"--version"} | {"--output"}


def set_by_parameter(module: str) -> dict[str, str]:
    """Options that conf/modules.config fills: option → parameter."""
    text = (PIPELINE / "conf/modules.config").read_text("utf-8")
    process = f"SCREADER_{module.upper().replace('-', '')}"
    text_of = "|".join([process, *_aliases(process)])
    blocks = re.findall(
        rf"^    withName: (?:{text_of}) \{{\n(.*?)^    \}}", text, re.MULTILINE | re.DOTALL
    )
    found: dict[str, str] = {}
    for line in "".join(blocks).splitlines():
        option = re.search(r"(--[a-z][a-z-]+)", line)
        value = re.search(r"\$\{(?:params\.(\w+)|meta\.(\w+))", line)
        if option:
            name = (value[1] or value[2]) if value else None
            found[option[1]] = option_name(name) if name else "(by the pipeline)"
    return found


def _aliases(process: str) -> list[str]:
    text = "".join(path.read_text("utf-8") for path in PIPELINE.rglob("*.nf"))
    return re.findall(rf"include \{{ {process} as (\w+) \}}", text)


def options_page() -> str:
    """Where each option of each executable is set."""
    lines = [
        f"# Where the tools' options are set\n\n{MADE}\n",
        "Each module fills some options from its inputs. `conf/modules.config` fills others from "
        "parameters. All others go through the parameter named in the table, or through `ext.args` "
        "of the process in a configuration of yours.\n",
    ]
    for module, passed_on in PASSED_ON.items():
        lines += [f"## {module}\n", "| option | set by |", "|---|---|"]
        inputs, parameters = set_by_module(module), set_by_parameter(module)
        for name in options_of(module):
            if name in ("--help", "--version"):
                continue
            where = f"`{passed_on}`" if passed_on else "`ext.args`"
            if name in inputs:
                where = "the module"
            elif name in parameters:
                where = f"`{parameters[name]}`".replace("`(by the pipeline)`", "the pipeline")
            lines.append(f"| `{name}` | {where} |")
        lines.append("")
    return "\n".join(lines)
