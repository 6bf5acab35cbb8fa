"""Where facts and texts of genes come from; one file per source.

- ``source``    what every source offers;
- ``packaged``  facts that the project carries;
- ``bulk``      NCBI's bulk files, from local copies or downloaded once;
- ``table``     a table of the user's own;
- ``eutils``    NCBI E-utilities, with ``entrezgene`` for the XML of its records;
- ``datasets``  NCBI Datasets v2.
"""
