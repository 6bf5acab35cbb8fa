"""Gene texts and their embeddings.

From names to texts (``fetch-descriptions``):

- ``records``     one gene as a source knows it;
- ``organisms``   species by name or taxonomy id;
- ``lists``       the genes that an input names;
- ``catalog``     the rules that find a gene by name;
- ``sources``     where facts and texts come from;
- ``texts``       a gene's text, cleaned and put together;
- ``describe``    sources in order → one description per gene;
- ``tables``      descriptions as an exchange file;
- ``facts``       facts that the project carries, made by ``make_facts``.

From texts to vectors (``embed-genes``):

- ``providers``   who computes the vectors;
- ``embeddings``  descriptions to gene embeddings.

For both: ``web``, polite HTTP; ``downloads``, bulk files; ``cache`` and ``remembered``, answers
kept on disk.
"""
