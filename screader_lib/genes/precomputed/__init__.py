"""Embeddings that someone else computed.

- ``reading``       npz, csv, parquet, h5ad and GenePT's pickle;
- ``plain_pickle``  pickles of plain values, by an unpickler that can run nothing;
- ``matching``      their vectors as gene embeddings.
"""
