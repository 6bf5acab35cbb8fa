"""The frozen LLM, the models trained on it, the controls, and how they are trained and used."""

import os

# Libraries read these when they are imported, whichever module of this folder does it first.
# Threads that wait must not burn the cores of other processes (libgomp's default).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")  # the bars that transformers draws while loading
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
