"""The executables, inside this process or as one of their own, away from the user's keys."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest import mock

from click.testing import CliRunner, Result

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECRETS = ("NCBI_API_KEY", "NCBI_EMAIL", "OPENAI_API_KEY", "HF_TOKEN", "SCREADER_CACHE")


def command(tool: str, *words: object) -> list[str]:
    """The command line of a tool, whatever PATH is."""
    return [str(Path(sys.executable).with_name(tool)), *map(str, words)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment without keys, with a home of its own."""
    clean = {key: value for key, value in os.environ.items() if key not in SECRETS}
    return {**clean, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def run(
    tool: str,
    *words: object,
    home: Path,
    stdin: bytes = b"",
    cwd: Path | None = None,
    **more: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool to its end inside this process, as if it were one of its own.

    It finds the environment and folder asked for, and leaves no trace in this process. Use
    :func:`run_process` where a signal, a real pipe, the end of a process or an environment that
    is read at import is tested.
    """
    result = invoke(tool, *words, stdin=stdin, cwd=cwd, environ=environment(home, **more))
    stderr = result.stderr_bytes
    if result.exception and not isinstance(result.exception, SystemExit):
        stderr += "".join(traceback.format_exception(result.exception)).encode()
    return subprocess.CompletedProcess(
        command(tool, *words), result.exit_code, result.stdout_bytes, stderr
    )


def run_process(
    tool: str,
    *words: object,
    home: Path,
    stdin: bytes = b"",
    cwd: Path | None = None,
    **more: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool to its end in a process of its own, which costs seconds where it needs torch."""
    return subprocess.run(
        command(tool, *words), input=stdin, cwd=cwd, env=environment(home, **more),
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def invoke(
    tool: str,
    *words: object,
    stdin: bytes = b"",
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Result:
    """Run a tool inside this process; click's result has exit_code, stdout_bytes and stderr."""
    main = import_module(f"screader_tools.{tool.replace('-', '_')}").main
    with restored(cwd, os.environ if environ is None else environ):
        return CliRunner().invoke(main, [*map(str, words)], input=stdin, prog_name=tool)


@contextmanager
def restored(cwd: Path | None, environ: Mapping[str, str]) -> Iterator[None]:
    """A folder and an environment; what a tool sets for its process is as before at the end."""
    folder = Path.cwd()
    names = ("excepthook", "unraisablehook")
    hooks = {name: getattr(sys, name) for name in names}
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    torch = sys.modules.get("torch")
    mode = torch.get_deterministic_debug_mode() if torch else 0
    with (
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.object(os, "_exit", sys.exit),
        mock.patch.object(tempfile, "tempdir", None),
    ):
        os.chdir(cwd or folder)
        try:
            yield
        finally:
            os.chdir(folder)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for name, hook in hooks.items():
                setattr(sys, name, hook)
            if torch := sys.modules.get("torch"):
                torch.set_deterministic_debug_mode(mode)
            _forget()


def _forget() -> None:
    """Empty the library's caches, such as the LLM that was read last; but for the schemas."""
    for name, module in list(sys.modules.items()):
        if name.startswith("screader_lib") and not name.startswith("screader_lib.exchange"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def leaks(secret: str, folder: Path, *outputs: bytes) -> list[str]:
    """Where a secret is found: files below ``folder`` and texts."""
    needle = secret.encode()
    files = [str(f) for f in folder.rglob("*") if f.is_file() and needle in f.read_bytes()]
    return files + [f"output {n}" for n, output in enumerate(outputs) if needle in output]
