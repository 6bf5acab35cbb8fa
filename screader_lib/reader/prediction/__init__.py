"""A reader's predictions of cells."""
