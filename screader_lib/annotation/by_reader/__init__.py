"""Cells called by a reader, by the methods beside it, and by their neighbours."""
