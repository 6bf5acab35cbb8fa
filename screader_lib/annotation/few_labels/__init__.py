"""Calls without a reader, from what little is known of a sample's own cells."""
