"""scReader's library: everything the executables do.

Packages and modules, in the order imports may point (each may use those before it):

- ``schemas``        one YAML file per kind of exchange file;
- ``errors``         the one-line error; ``reporting``, progress of long-running work;
- ``launch``         processes started by accelerate or torchrun; ``offline``, no network;
- ``option_values``  the values that options may take;
- ``gguf_files``     GGUF files read once; ``label_metrics``, predicted against true labels;
- ``exchange``       HDF5 files between the tools: read, write, check, describe;
- ``command_line``   what the executables share: errors, streams, progress, provenance;
- ``genes``          gene texts and their embeddings;
- ``cells``          expression matrices to ranked, weighted gene sequences;
- ``preparation``    raw counts to clean, clustered, labelled cells;
- ``reader``         the frozen LLM, its trained parts, the controls, the metrics;
- ``figures``        plots and the report;
- ``demo``           the whole suite on real cells.
"""

__version__ = "0.1.0"
