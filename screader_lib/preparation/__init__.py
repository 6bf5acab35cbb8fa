"""Raw counts without labels to cells that a reader can learn from (``prepare-cells``).

- ``counts``         any expression file as a sparse AnnData; quality control;
- ``clustering``     from counts to clusters and the genes that distinguish them, on scanpy;
- ``marker_tables``  which genes mark which cell type, and in which species;
- ``labelling``      clusters' markers against the table: scores, labels, evidence, the h5ad;
- ``cells_in_words``  what is in a file of cells, for ``screader info``.
"""
