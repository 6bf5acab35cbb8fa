"""Gives the libraries a place for their caches in a container, whoever runs it.

Imported when Python starts. Where the home folder cannot be written (any user id, a read-only
root, no home at all), caches go to a folder of that user alone below the temporary folder.
Variables that are set stay as they are.
"""

import os

FOLDERS = {
    "XDG_CACHE_HOME": "",
    "XDG_CONFIG_HOME": "config",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "HF_HOME": "huggingface",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
}


TEMPORARY = ("/tmp", "/dev/shm")  # docker --read-only leaves the second writable


def own_folder(temporary: str) -> str:
    """A folder below ``temporary`` that only this user can write; made where it is missing."""
    path = os.path.join(temporary, f"screader-{os.getuid()}")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        # Caches hold code. A folder that somebody else laid here is not to be trusted.
        if found.st_uid != os.getuid() or found.st_mode & 0o170022 != 0o040000:
            import tempfile

            return tempfile.mkdtemp(prefix="screader-", dir=temporary)
    return path


def home_is_writable() -> bool:
    """Whether the user has a home folder to write to; the root folder is none."""
    home = os.path.expanduser("~")
    return home not in ("/", "~") and os.access(home, os.W_OK)


def place() -> None:
    """Set the variables that name cache folders, where there is need."""
    if home_is_writable() or all(name in os.environ for name in FOLDERS):
        return
    for temporary in filter(None, (os.environ.get("TMPDIR"), *TEMPORARY)):
        try:
            base = own_folder(temporary)
        except OSError:
            continue
        for name, folder in FOLDERS.items():
            os.environ.setdefault(name, os.path.join(base, folder) if folder else base)
        return


place()
