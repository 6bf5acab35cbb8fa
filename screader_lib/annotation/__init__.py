"""Calls in the user's own file."""
