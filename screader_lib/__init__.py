"""scReader's library: everything the executables do.

Rooms, in the order imports may point (each may use those before it):

- ``schemas``       one YAML file per kind of exchange file;
- ``exchange``      HDF5 files between the tools: read, write, check, describe;
- ``command_line``  what the executables share: errors, streams, progress, provenance;
- ``measures``      predicted against true labels, on numpy;
- ``reporting``     how long work tells what it does; ``errors``, the one-line error;
- ``offline``       whether there is a network;
- ``genes``         gene texts and their embeddings;
- ``cells``         expression matrices to ranked, weighted gene sequences;
- ``preparation``   raw counts to clean, clustered, labelled cells;
- ``reader``        the frozen LLM, its trained parts, the controls, the measures;
- ``figures``       plots and the report.
"""

__version__ = "0.1.0"
