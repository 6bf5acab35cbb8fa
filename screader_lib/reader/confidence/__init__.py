"""How far a prediction can be trusted, and what it rests on.

- ``calibration``       the temperature of confidence, familiarity, and the calibration set;
- ``missing_genes``     how confidence falls where few genes of a cell are read;
- ``explanation``       which genes contributed to a prediction;
- ``ontology``          the Cell Ontology, or another from an OBO file;
- ``ontology_backoff``  uncertain predictions replaced by a more general term.
"""
