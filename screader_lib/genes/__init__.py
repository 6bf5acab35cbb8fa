"""Gene texts and their embeddings.

From names to texts (``fetch-descriptions``):

- ``records``     one gene as a source knows it;
- ``organisms``   species by name or taxonomy id;
- ``lists``       the genes that an input names; ``tenx_folder``, those of a 10x folder;
- ``catalog``     the rules that find a gene by name;
- ``sources``     where facts and texts come from;
- ``filling``     texts for genes that the sources have no summary of;
- ``texts``       a gene's text, cleaned and put together;
- ``describe``    sources in order → one description per gene;
- ``tables``      descriptions as an exchange file;
- ``facts``       facts that the project carries, made by ``make_facts``.

From texts to vectors (``embed-genes``):

- ``providers``   who computes the vectors;
- ``precomputed`` vectors that someone else computed;
- ``embeddings``  descriptions to gene embeddings.

For both: ``services``, what is elsewhere, asked politely and once.
"""
