"""The commands in the blocks of code of a page, and their runs inside this process."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from running import environment, invoke

ROOT = Path(__file__).parents[2]
TOOLS = ("annotate", "fetch-descriptions", "embed-genes", "build-cells", "prepare-cells",
         "train-reader", "predict", "plot", "screader")  # fmt: skip
WRAPPERS = ("accelerate", "apptainer", "docker", "podman", "sbatch")  # of the suite's commands
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
SHELL = ("bash", "sh")
NOT_SHELL = re.compile(  # indented blocks: diagrams, a sample sheet, settings, what is printed
    "[│▶]|^sample,|^Sample sheet |^Samples, |^process {|^predict: "
)
ASSIGNED = re.compile(r"\w+=")
OFFLINE = {"SCREADER_OFFLINE": "1"}


@dataclass(frozen=True)
class Line:
    """A line of a shell: the words of its commands, and the file that takes what they print."""

    text: str
    stages: tuple[tuple[str, ...], ...]
    target: str = ""

    @classmethod
    def of(cls, text: str) -> Line:
        """A line without its comment and what it sets in the environment."""
        lexer = shlex.shlex(text, posix=True, punctuation_chars="|<>&;")
        lexer.whitespace_split = True
        stages: list[list[str]] = [[]]
        for word in lexer:
            if word in ("|", "&&", ";", ">"):
                stages.append([])
            elif stages[-1] or not ASSIGNED.match(word):
                stages[-1].append(word)
        target = stages.pop()[0] if re.search(r" > \S+$", text) else ""
        return cls(text, tuple(tuple(words) for words in stages if words), target)

    @property
    def of_the_suite(self) -> list[list[str]]:
        """The words of the suite's commands, also of those that another program starts."""
        found = []
        for words in self.stages:
            inner = list(words)
            if words[0] in WRAPPERS:
                inner = [part for word in words for part in word.split()]
                while inner and not is_tool(inner[0]):
                    del inner[0]
            if inner and is_tool(inner[0]):
                found.append(inner)
        return found


def is_tool(program: str) -> bool:
    """Whether a program is an executable of the suite, by either of its names."""
    return program.removeprefix("screader-") in TOOLS


def lines_of(page: str) -> Iterator[Line]:
    """What the page's blocks tell to type; of a block with prompts, the lines that have one."""
    text = (ROOT / page).read_text("utf-8")
    blocks = [block for language, block in FENCED.findall(text) if language in SHELL]
    for block in map(textwrap.dedent, INDENTED.findall(FENCED.sub("", text))):
        if not NOT_SHELL.search(block):
            blocks.append(block)
    for block in blocks:
        lines = block.replace("\\\n", " ").splitlines()
        prompts = [line[2:] for line in lines if line.startswith("$ ")]
        for line in map(Line.of, prompts or lines):
            if line.stages:
                yield line


def run_line(line: Line, folder: Path) -> str:
    """Run a pipe of the suite's commands in the folder; what its last one told the user."""
    given = b""
    for program, *words in line.stages:
        if program == "printf":
            given = words[0].encode().decode("unicode_escape").encode()
            continue
        for place, word in reversed([*enumerate(words)]):
            if "*" in word:
                found = sorted(str(path.relative_to(folder)) for path in folder.glob(word))
                words[place : place + 1] = found
        environ = environment(folder, **OFFLINE)
        done = invoke(program, *words, stdin=given, cwd=folder, environ=environ)
        assert done.exit_code == 0, f"{line.text}\n{done.stderr}"
        given = done.stdout_bytes
    if line.target:
        (folder / line.target).write_bytes(given)
    return done.output
