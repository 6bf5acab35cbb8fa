"""Calls without any label, from what is known of the types that a person names.

- ``type_table``  the types that are named: a table, or terms of the Cell Ontology;
- ``gene_sets``   the genes that speak for each type, by marker tables and by texts;
- ``groups``      a sample's cells in groups, and how much of each type's genes each has;
- ``by_types``    calls from these, for the user's own file, and the evidence for each group;
- ``beside``      types offered to cells that are unlike all types of a reader.
"""
