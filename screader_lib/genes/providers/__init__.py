"""Who turns texts into vectors.

- ``embedder``          what every provider offers, and a provider with a cache on disk;
- ``local_models``      sentence-transformers models, the packaged MiniLM, hidden states;
- ``openai``            OpenAI and compatible servers: the limits of requests and their price;
- ``provider_options``  from options to a provider.
"""
