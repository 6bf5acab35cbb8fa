"""Gene texts and their embeddings.

From names to texts (``fetch-descriptions``):

- ``records``            one gene as a source knows it;
- ``organisms``          species by name or taxonomy id;
- ``gene_lists``         the genes that an input names; ``tenx_folder``, those of a 10x folder;
- ``text_files``         texts and tables, gzipped or not;
- ``catalog``            the rules that match a name to a gene;
- ``sources``            where facts and texts come from;
- ``missing_texts``      texts for genes that have no summary in the sources;
- ``texts``              a gene's text, cleaned and composed from its fields;
- ``describe``           sources in order → one description per gene;
- ``description_table``  descriptions as an exchange file;
- ``facts``              facts that come with the package.

From texts to vectors (``embed-genes``):

- ``providers``          who computes the vectors;
- ``precomputed``        vectors that someone else computed;
- ``embeddings``         descriptions to gene embeddings.

For both: ``services`` on other machines, asked politely and once.
"""
