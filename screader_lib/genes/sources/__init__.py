"""Where facts and texts of genes come from."""
