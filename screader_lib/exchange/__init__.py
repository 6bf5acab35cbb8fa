"""Exchange files: the HDF5 files that the tools hand to each other.

- ``schema``        the YAML schemas as objects;
- ``table``         small data frames (obs, var) without pandas;
- ``encoding``      AnnData's on-disk encoding of tables, arrays, strings, dictionaries;
- ``chunks``        HDF5 chunks packed and unpacked by several threads;
- ``safety``        refusal of damaged or hostile HDF5 before anything is read;
- ``heap``          strings in a file's raw bytes, looked at before HDF5 reads them;
- ``columns``       columns of tables, checked before they are read;
- ``validation``    a file against its schema;
- ``provenance``    which tool, parameters and inputs made a file;
- ``opening``       read: check, then hand over;
- ``writing``       write: beside the target, check, rename;
- ``summary``       what is in a file, in words;
- ``documentation`` the schema pages in ``docs/``.
"""
