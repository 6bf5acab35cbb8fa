"""Texts for genes of which the sources know no summary.

- ``fill``       the ways, in the order asked for;
- ``orthologs``  human texts through a table of one-to-one orthologs;
- ``generated``  texts of a chat model.
"""
