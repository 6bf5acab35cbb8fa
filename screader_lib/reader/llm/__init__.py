"""The frozen LLM: where it comes from, where it computes, and what it gives for a cell.

- ``machine``         where to compute: device, memory, processes that share the cells;
- ``weights``         finds an LLM's weights: packaged, in a folder, or on the Hugging Face hub;
- ``frozen_llm``      loads an LLM and identifies it;
- ``float8``          its linear layers in eight-bit floats;
- ``decoder``         lays out cells' tokens and calls its layers; compiles or shards them;
- ``memory``          how much memory it needs, and how many tokens fit into a batch.
"""
