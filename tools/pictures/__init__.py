"""The pictures of ``plot``: one file each, with what they share."""
