"""obs, the table of cells."""
