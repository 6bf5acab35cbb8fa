"""A reader's predictions of cells.

- ``label_map``              a table that translates the cells' labels into the reader's;
- ``predictions``            of a block of cells, and of all of them as columns and metrics;
- ``write_predictions``      into a ``predictions`` file, block by block, whole or a shard;
- ``prediction_checkpoint``  finished blocks on disk, for a run that is killed;
- ``cross_validation``       a reader per fold, and predictions of the cells it held out;
- ``merge_predictions``      shards or folds merged into one file.
"""
