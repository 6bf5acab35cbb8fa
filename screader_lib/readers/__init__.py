"""Trained readers by name, each with a card that says what it knows."""
