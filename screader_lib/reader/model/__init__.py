"""The reader model around the LLM, and its training.

- ``batches``              cells in batches that fit into memory, shared among the processes;
- ``reader_model``         projector, cls and head, the parts that are trained;
- ``attribution``          each gene's part in a call, by integrated gradients;
- ``scaling``              the scaling of gene embeddings;
- ``neural_reader``        a trained reader model: logits and latents of cells;
- ``logistic_regression``  the fit, in memory or streaming; each gene's own logits;
- ``training``             the training loop;
- ``training_checkpoint``  its state in a file, and the best weights.
"""
