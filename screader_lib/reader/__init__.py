"""The frozen LLM, its trained parts, the controls and how they are trained and used.

- ``choices``      the values that options may take;
- ``settings``     every setting of a training, and the recipes;
- ``llm``          load a frozen LLM and say which one it is;
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
- ``prediction``   a reader's calls on cells, into a ``predictions`` file;
- ``ontology``     terms of an OBO file; ``backing_off``, unsure calls to terms above labels.
"""
