"""Texts for genes without a summary in any source.

- ``fill``             the ways to fill, in the order given;
- ``from_orthologs``   human texts through a table of one-to-one orthologs;
- ``from_chat_model``  texts of a chat model.
"""
