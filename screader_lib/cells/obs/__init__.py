"""obs, the table of cells.

- ``columns``    names of cells, labels, donors and other columns of several inputs as one;
- ``labels``     labels that say nothing, near twins and codes;
- ``selection``  which cells of the inputs: names, conditions, labels.
"""
