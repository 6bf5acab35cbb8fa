"""Exchange files: the HDF5 files that the tools pass to each other."""
