"""Embeddings that someone else computed.

- ``read_precomputed``   from npz, csv, parquet, h5ad and GenePT's pickle;
- ``plain_pickle``       pickles of plain values, loaded without running anything;
- ``match_precomputed``  their vectors as gene embeddings.
"""
