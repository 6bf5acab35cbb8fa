"""Where facts and texts of genes come from.

- ``gene_source``   what every source offers;
- ``tables``        facts that come with the package, and a table of the user's own;
- ``bulk``          NCBI's bulk files, from local copies or downloaded once;
- ``eutils``        NCBI E-utilities;
- ``datasets``      NCBI Datasets v2;
- ``make_sources``  from options to sources.
"""
