"""The formats of files of cells, each read block by block.

- ``open_expression``     which format a path is;
- ``packed``              what a file is by its first bytes; packed files unpacked;
- ``expression``          what every format offers, and the rows of CSR matrices;
- ``anndata_expression``  h5ad files and zarr stores;
- ``zarr_chunks``         whether a zarr store has all its chunks;
- ``anndata_stores``      files and stores of several AnnData: MuData, SpatialData;
- ``memory_expression``   AnnData objects;
- ``tenx``                10x h5 files;
- ``mtx_folder``          folders with Matrix Market files;
- ``loom``                loom files;
- ``text_table``          tables of counts;
- ``r_objects``           objects of R: Seurat, SingleCellExperiment, matrices;
- ``r_tree``              vectors, data frames and matrices in files of R;
- ``hdf5_filters``        filters of compressed HDF5 that may be missing;
- ``transpose``           rows of matrices whose entries are not stored cell by cell; scratch files.
"""
