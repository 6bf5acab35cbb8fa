"""Expression matrices to ranked, weighted gene sequences.

- ``formats``          the formats of expression, read block by block;
- ``obs``              the table of cells: columns, labels, which cells are taken;
- ``gene_lists``       the genes that a file of cells, or a text, names;
- ``genomes``          genes of several genomes, and their prefixes;
- ``gene_names``       genes of the input matched to the embedded genes by name;
- ``normalisation``    counts or log-normalised? both as counts per ten thousand;
- ``gene_statistics``  medians, variances and coverage of genes over cells;
- ``sequences``        a block of cells to ranked genes and weights;
- ``vocabulary``       the genes that cells may have;
- ``gene_texts``       which texts embeddings are of, and whether two may be compared;
- ``gene_matcher``     genes of cells matched to a reader's by name or text;
- ``across_species``   species, and cells built like those of another species;
- ``folds``            which cells a fold holds out;
- ``fold_sequences``   sequences by the genes that a fold's training cells select;
- ``input_file``       one input: its cells, genes and kind of values;
- ``cell_builder``     all of this together, into a ``cells`` file;
- ``cells_file``       a ``cells`` file as readers see it (numpy and h5py only).
"""
