"""Calls without a reader, from what little is known of a sample's own cells.

- ``example_table``  labels that a person gave some cells or clusters;
- ``own_cells``      a sample's cells, by the genes that vary most among them;
- ``spreading``      the labels of a few cells carried to all by their places and neighbours;
- ``by_examples``    calls from these, for the user's own file;
- ``final_predictions``  the same as a file that reports are made of.
"""
