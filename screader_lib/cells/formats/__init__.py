"""The formats of files of cells, each read block by block."""
