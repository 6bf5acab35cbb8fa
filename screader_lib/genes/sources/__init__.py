"""Where facts and texts of genes come from.

- ``gene_source``   what every source offers;
- ``tables``        NCBI's bulk files, facts that come with the package, a table of the user's own;
- ``eutils``        NCBI E-utilities;
- ``datasets``      NCBI Datasets v2;
- ``make_sources``  from options to sources.
"""
