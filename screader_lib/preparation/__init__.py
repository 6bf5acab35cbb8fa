"""Raw counts without labels to cells that a reader can learn from (``prepare-cells``).

- ``counts``           any expression file as a sparse AnnData; quality control;
- ``clustering``       from counts to clusters, on scanpy;
- ``cluster_markers``  the genes that distinguish a cluster from the others;
- ``marker_tables``    which genes mark which cell type, and in which species;
- ``labelling``        clusters' markers against the table: scores and labels;
- ``results``          the evidence table, a user's corrections to it, and the h5ad.
"""
