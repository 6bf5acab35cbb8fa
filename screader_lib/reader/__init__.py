"""The frozen LLM, its trained parts, the controls and the measures."""
