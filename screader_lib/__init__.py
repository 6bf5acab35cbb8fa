"""scReader's library: everything the executables do (docs/architecture.md)."""

__version__ = "0.1.0"
