"""The figures of ``plot``, one module each, and their common options (``figure_options``)."""
