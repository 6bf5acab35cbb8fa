"""Expression matrices to ranked, weighted gene sequences.

- ``choices``      the values that options may take;
- ``expression``   what every source of expression offers;
- ``formats``      which format a path is;
- ``h5ad``, ``zarr_store``, ``tenx``, ``loom``  the sources; ``annotated`` and ``frames``, what the
  first two share; ``turning``, matrices that lie gene by gene; ``scratch``, its temporary file;
- ``parallel``     blocks by several threads, in order;
- ``inputs``       which cells of which files; ``query``, conditions on their columns;
- ``renaming``     genes by another column or by orthologs; ``organisms``, of which species;
- ``matching``     the input's genes onto the embedded genes;
- ``values``       counts or log-normalised? back to normalised values;
- ``gathering``    the values of each gene over many cells;
- ``statistics``   medians and variances of genes over cells;
- ``shares``       how much of the expression some genes hold, by input;
- ``sequences``    one block of cells to gene indices and weights;
- ``annotation``   labels, donors and the other columns carried along;
- ``vocabulary``   the genes that cells may have;
- ``known_genes``  which genes of a reader or of cells stand for others, by name or text;
- ``across_species``  the genes that stand for those of a reader of another species;
- ``parts``        one input: its cells, genes and kind of values;
- ``building``     all of this together, into a ``cells`` file;
- ``reading``      a ``cells`` file as the reader sees it (numpy and h5py only).
"""
