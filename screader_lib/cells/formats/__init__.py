"""The formats of expression, each read block by block.

- ``open_expression``     which format a path is;
- ``expression``          what every format offers, and the rows of CSR matrices;
- ``anndata_expression``  h5ad files and zarr stores;
- ``zarr_chunks``         whether a zarr store has all its chunks;
- ``memory_expression``   AnnData objects;
- ``tenx``                10x h5 files and mtx folders;
- ``loom``                loom files;
- ``transpose``           rows of matrices whose entries are not stored cell by cell; scratch files.
"""
