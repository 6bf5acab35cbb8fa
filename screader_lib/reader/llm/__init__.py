"""The frozen LLM: where it comes from, where it computes, and what it gives for a cell."""
