"""The reader model around the LLM, and its training.

- ``batches``              cells in batches that fit into memory, shared among the processes;
- ``reader_model``         projector, cls and head, the parts that are trained;
- ``attribution``          each gene's part in a call, by integrated gradients;
- ``linear_attribution``   the same without steps or torch, where logits are linear;
- ``scaling``              the scaling of gene embeddings;
- ``neural_reader``        a trained reader model: logits and latents of cells;
- ``linear_reader``        the same without an LLM or torch;
- ``logistic_regression``  the fit, in memory or streaming;
- ``principal_components`` of the training cells, without densifying;
- ``gene_scores``          each gene's own logits, with and without the components;
- ``type_distance``        how far a cell is from the types of the training;
- ``training``             the training loop;
- ``training_checkpoint``  its state in a file, and the best weights.
"""
