"""The frozen LLM, its trained parts, the controls and how they are trained and used.

- ``choices``      the values that options may take;
- ``settings``     every setting of a training, and the recipes;
- ``device``       where to compute; ``memory``, how much is read at once;
- ``llm``          load a frozen LLM and say which one it is; ``weights`` and ``hub``, from where;
- ``sequence``     lays out the tokens and calls the LLM: ``decoder``, layer by layer, with
                   ``frozen_steps`` and ``float8``;
- ``processes``    several processes that share the work; ``sharding``, an LLM over them;
- ``embedding``    gene embeddings made fit for the projector;
- ``batches``      cells to padded batches of like length;
- ``model``        projector, cls and head around the frozen LLM;
- ``neural``       a trained reader model and its outputs;
- ``stages``       which stages a training has;
- ``training``     the stages of training; ``checkpoint``, its state on disk;
- ``calibration``  temperature;
- ``linear``       logistic regression, on torch;
- ``neighbours``   k nearest neighbours; ``text_model``, texts of whole cells to vectors;
- ``methods``      scReader and its controls behind one interface;
- ``file``         the ``reader`` file;
- ``prediction``   a reader's calls on cells, into a ``predictions`` file: ``called``, a block of
                   cells; ``unfinished``, blocks kept for a run that is killed; ``shards``, the
                   share of one run, and ``joining`` them; ``gathering``, the folds';
- ``ontology``     terms of an OBO file; ``backing_off``, unsure calls to terms above labels.
"""

import os

# Libraries read these when they are imported, whichever module of this folder does it first.
# Threads that wait must not burn the cores of other processes (libgomp's default).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")  # the bars that transformers draws while loading
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
