"""The executables: one file each. Options, then read, call the library, write."""

import os
import signal
import sys

_FOLDER = os.path.dirname(__file__)
_NAME = os.path.basename(sys.argv[0]).removeprefix("screader-").replace("-", "_")
_IS_PROGRAM = os.path.isfile(os.path.join(_FOLDER, f"{_NAME}.py"))

# Control-C while an executable is still importing ends it without a traceback.
if _IS_PROGRAM and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
