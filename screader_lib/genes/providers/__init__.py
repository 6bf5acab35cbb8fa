"""Who turns texts into vectors; one file per provider.

- ``embedder``       what every provider offers;
- ``packaged``       all-MiniLM-L6-v2 from an installed package;
- ``sentences``      sentence-transformers models by id or folder;
- ``hidden_states``  mean-pooled hidden states of any Hugging Face model;
- ``openai``         OpenAI and compatible servers;
- ``remembering``    a provider whose vectors are kept on disk;
- ``packing``        what one request holds;
- ``cost``           tokens and price before anything is spent;
- ``encoding``       what the local ones share: loading, batches, pooling;
- ``choice``         from options to a provider.
"""
