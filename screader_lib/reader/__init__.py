"""The frozen LLM, the models trained on it, the controls, and how they are trained and used.

- ``settings``     every setting of a training, and the recipes;
- ``task``         the cells to learn from, and the interface of a trained method;
- ``evaluation``   scores on the validation cells, and the calibration;
- ``reader_file``  the ``reader`` file;
- ``llm``          the frozen LLM: loading it and running it on tokens;
- ``model``        the trained parts around the LLM, and their training;
- ``methods``      scReader and its controls behind one interface;
- ``confidence``   calibration, familiarity, explanation, back-off to an ontology;
- ``prediction``   predictions into a file, in shards and in folds.
"""

import os

# Libraries read these when they are imported, whichever module of this folder does it first.
# Threads that wait must not burn the cores of other processes (libgomp's default).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")  # the bars that transformers draws while loading
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
