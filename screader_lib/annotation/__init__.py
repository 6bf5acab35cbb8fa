"""Calls in the user's own file.

- ``calls``             what is said of the cells, the one source of all outputs;
- ``annotated_file``    an h5ad copied byte by byte, with the calls in it;
- ``annotated_object``  an AnnData object with the calls in it;
- ``earlier_run``       the other names of what an earlier run added;
- ``obs_table``         columns added to obs, of any version of anndata;
- ``zarr_copy``         an AnnData zarr store as HDF5;
- ``new_h5ad``          an h5ad made of other formats, or of several inputs;
- ``calls_table``       the calls as a table for people without AnnData.
"""
