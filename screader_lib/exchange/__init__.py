"""Exchange files: the HDF5 files that the tools pass to each other.

- ``schema``      the YAML schemas as objects;
- ``table``       data frames (obs, var) without pandas, in memory or read in blocks of rows;
- ``encoding``    AnnData's on-disk encoding of tables, arrays, strings and dictionaries;
- ``chunks``      HDF5 chunks read and compressed by several threads;
- ``safety``      refusal of damaged or hostile HDF5 before anything is read;
- ``validation``  a file against its schema;
- ``provenance``  which tool, parameters and inputs made a file;
- ``opening``     reading: check, then hand over;
- ``writing``     writing: next to the target, check, rename;
- ``summary``     the content of a file in words.
"""
