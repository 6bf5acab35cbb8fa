"""The executables: one file each. Options, then read, call the library, write."""
