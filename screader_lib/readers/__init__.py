"""Readers that are ready: by name, with a card that says what they know."""
