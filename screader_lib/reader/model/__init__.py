"""The reader model around the LLM, and its training."""
