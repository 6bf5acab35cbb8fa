"""Raw counts without labels to cells that a reader can learn from (``prepare-cells``)."""
