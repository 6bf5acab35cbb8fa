"""Services elsewhere, asked politely and once.

- ``service``        a server's URL, key and proxy, rate and pauses, answers that are checked;
- ``bounded``        limits on the bytes of an answer and on the time of a request;
- ``web_client``     forms and JSON to NCBI;
- ``openai_server``  OpenAI and servers that answer as it does, through the ``openai`` package;
- ``file_download``  one file over HTTP;
- ``downloads``      NCBI's bulk files, downloaded once;
- ``cache``          answers kept on disk, genes among them.
"""
