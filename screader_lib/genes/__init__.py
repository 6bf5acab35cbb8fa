"""Gene texts and their embeddings.

From names to texts (``fetch-descriptions``):

- ``records``        one gene and one species as sources know them;
- ``text_files``     texts, gzipped or not, and their tables;
- ``catalog``        the rules that match a name to a gene;
- ``sources``        where facts and texts come from;
- ``describe``       sources in order → one description per gene, in an exchange file;
- ``missing_texts``  texts for genes that have no summary in the sources;
- ``facts``          facts that come with the package.

From texts to vectors (``embed-genes``):

- ``providers``      who computes the vectors;
- ``precomputed``    vectors that someone else computed: tables and dicts; ``model_vectors``, those
                     inside other models' weights; ``plain_pickle`` and ``torch_archive`` read files
                     that could run code, without running any;
- ``embeddings``     descriptions to gene embeddings.

For both: ``services`` on other machines, asked politely and once.
"""
