"""Make the workflows' .ga files from the .gxwf.yml files, as Galaxy's editor would save them.

python galaxy_wrappers/make_workflows.py [FOLDER]      FOLDER: .galaxy, as in test_on_galaxy.py

A server completes the state of each step with the tools' defaults, which the editor would list as
issues of the workflow. The steps are laid out from left to right.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lay_out import lay_out
from test_on_galaxy import HERE, Server, install

SOURCES = sorted((HERE / "workflows").glob("*.gxwf.yml"))
Workflow = dict[str, Any]


def without_questions(state: Any) -> Any:
    """A state whose unconnected files are left out, where Galaxy would ask for them in each run."""
    if isinstance(state, dict):
        if state.get("__class__") == "RuntimeValue":
            return None
        return {key: without_questions(value) for key, value in state.items()}
    return [without_questions(one) for one in state] if isinstance(state, list) else state


def complete(workflow: Workflow, server: Server) -> None:
    """Give each step of a tool the whole state, the name and the outputs that Galaxy knows."""
    held = f"workflows/{server.call('workflows', {'workflow': workflow})['id']}"
    upgrade = {"actions": [{"action_type": "upgrade_all_steps"}], "style": "export"}
    server.call(f"{held}/refactor", upgrade, "PUT")
    steps = {
        step["label"]: step
        for step in server.call(f"{held}/download?style=export")["steps"].values()
    }
    for step in workflow["steps"].values():
        if step["type"] == "tool":
            known = steps[step["label"]]
            state = without_questions(json.loads(known["tool_state"]))
            step |= {key: known[key] for key in ("name", "outputs")}
            step["tool_state"] = json.dumps(state)


def main() -> None:
    """Convert, complete, lay out and write all of them."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / ".galaxy").resolve()
    if not install(folder):
        sys.exit("make_workflows: no package index can be reached: Galaxy is not installed.")
    server = Server(folder)
    with server.running():
        for source in SOURCES:
            path = source.with_name(source.name.replace(".gxwf.yml", ".ga"))
            made = server.run / path.name
            subprocess.run([folder / "planemo/bin/gxwf-to-native", source, made], check=True)
            workflow = json.loads(made.read_text("utf-8"))
            if path.exists():
                workflow["uuid"] = json.loads(path.read_text("utf-8"))["uuid"]
            complete(workflow, server)
            shown = server.in_the_editor(workflow)
            if shown["upgrade_messages"]:
                sys.exit(f"make_workflows: {path.name}: {shown['upgrade_messages']}")
            lay_out(workflow, shown)
            path.write_text(json.dumps(workflow, indent=4, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
