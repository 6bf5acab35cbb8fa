"""Raw counts without labels to cells that a reader can learn from (``prepare-cells``).

- ``loading``          any expression file as an AnnData, sparse;
- ``quality``          cells and genes that are kept;
- ``clustering``       from counts to clusters, on scanpy;
- ``cluster_markers``  the genes that tell a cluster from the others;
- ``marker_tables``    which genes are known to mark which type: PanglaoDB, CellMarker, one's own;
- ``species``          whether cells, markers and ``--species`` are of one species;
- ``labelling``        clusters' markers against the table: scores, labels, evidence;
- ``corrections``      a person's word over the labels;
- ``prepared``         the result as an h5ad.
"""
