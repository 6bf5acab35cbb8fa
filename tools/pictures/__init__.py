"""The pictures of ``plot``, one module each, and their common options (``picture_options``)."""
