"""Calls without any label, from what is known of the types that a person names."""
