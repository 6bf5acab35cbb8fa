"""The modules' nf-test files under Nextflow, where nf-test itself is not at hand.

A stand-in of nf-test: it reads the parts of a test file that those of the modules have, makes the
workflow that nf-test would make of each test, and lets Groovy judge its assertions. The default
parser of 25.04 only, which runs Groovy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine import Engine, needs_engine
from pipeline_files import MODULES, PIPELINE

pytestmark = [
    needs_engine,
    pytest.mark.skipif(os.environ.get("NXF_SYNTAX_PARSER") == "v2", reason="runs Groovy"),
]
RUN = re.compile(r'run\("(\w+)"\) \{\s+script "([^"]+)"\s+process \{\s+"""\n(.*?)"""', re.DOTALL)
TEST = re.compile(r'^    test\("(.+?)"\) \{\n(.*?)^    \}$', re.DOTALL | re.MULTILINE)
WHEN = re.compile(r'when \{\s+process \{\s+"""\n(.*?)"""', re.DOTALL)
THEN = re.compile(r"^        then \{\n(.*?)^        \}$", re.DOTALL | re.MULTILINE)
JUDGE = """
import java.nio.file.Path

made = new java.util.concurrent.ConcurrentHashMap()

def plain(one) {
    one instanceof Collection ? one.collect { plain(it) } : one instanceof Path ? "${one}" : one
}

workflow.onComplete {
    def process = [success: workflow.success, failed: !workflow.success, out: made]
    def judge = new GroovyShell(new Binding(process: process))
    try {
        judge.evaluate('''
            def assertAll(Closure... all) { all.each { it() } }
            def file(path) { new File(path) }
            ''' + new File("${launchDir}/then.groovy").text)
        println('JUDGED: passed')
    } catch (Throwable wrong) {
        println("JUDGED: ${wrong.message}")
    }
}
"""


@dataclass(frozen=True)
class NfTest:
    """One test of a module's file."""

    module: Path
    name: str
    setup: list[tuple[str, str, str]]  # process, script relative to the tests' folder, inputs
    options: str
    inputs: str
    then: str


def nf_tests() -> Iterator[NfTest]:
    """All tests of all modules; every ``test`` and ``run`` of a file has to be understood."""
    for module in MODULES:
        text = (module / "tests/main.nf.test").read_text("utf-8")
        tests, setup = TEST.findall(text), RUN.findall(text)
        assert len(tests) == len(re.findall(r"\btest\(", text)), module
        assert len(setup) == len(re.findall(r"\brun\(", text)), module
        for name, body in tests:
            inputs, then = WHEN.search(body), THEN.search(body)
            assert inputs and then, (module, name)
            options = "".join(re.findall(r'options "([^"]+)"', body))
            yield NfTest(module, name, setup, options, inputs[1], then[1])


def called(process: str, inputs: str) -> str:
    """Statements that call a process with its inputs, as nf-test's text assigns them."""
    inputs = inputs.replace("${projectDir}", str(PIPELINE)).replace("input[", f"{process}_input[")
    given = ", ".join(sorted(set(re.findall(rf"{process}_input\[\d+\]", inputs))))
    return f"    def {process}_input = []\n{inputs}\n    {process}({given})\n"


def workflow(test: NfTest) -> str:
    """The script that runs a test and judges it when it is complete."""
    process = f"SCREADER_{test.module.name.upper()}"
    scripts = [(name, test.module / "tests" / script) for name, script, _ in test.setup]
    lines = [
        f"include {{ {name} }} from '{script.resolve()}'\n"
        for name, script in [*scripts, (process, test.module / "main.nf")]
    ]
    emitted = re.findall(r"emit: (\w+)", (test.module / "main.nf").read_text("utf-8"))
    steps = "".join(called(name, inputs) for name, _, inputs in test.setup)
    steps += called(process, test.inputs)
    for name in emitted:
        steps += f"    {process}.out.{name}.toList().subscribe {{ made['{name}'] = plain(it) }}\n"
    return "".join(lines) + JUDGE + f"workflow {{\n{steps}}}\n"


@pytest.mark.parametrize(
    "test", list(nf_tests()), ids=lambda test: f"{test.module.name}-{test.name.replace(' ', '-')}"
)
def test_a_module_passes_its_nf_tests(real_engine: Engine, test: NfTest) -> None:
    if "stub" not in test.options and os.environ.get("NF_TESTS") != "all":
        pytest.skip("NF_TESTS=all runs those that compute, too: minutes each")
    script = real_engine.folder / "main.nf"
    script.write_text(workflow(test))
    (real_engine.folder / "bin").symlink_to(PIPELINE / "bin")  # as nf-test does
    (real_engine.folder / "then.groovy").write_text(test.then)
    settings = [PIPELINE / "nextflow.config", test.module / "tests/nextflow.config"]
    words = [*(word for path in settings for word in ("-c", str(path))), *test.options.split()]
    fails = test.name.startswith("fails")
    said = real_engine(*words, profile="", script=script, fails=fails)
    assert "JUDGED: passed" in said and "command not found" not in said, said
