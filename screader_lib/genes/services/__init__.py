"""Services elsewhere, asked politely and once.

- ``service``        a server's URL, key and proxy, rate and pauses, answers that are checked;
- ``web_client``     forms and JSON to NCBI, with urllib3's retries;
- ``openai_server``  OpenAI and servers that answer as it does, through the ``openai`` package;
- ``file_download``  one file over HTTP;
- ``downloads``      NCBI's bulk files, downloaded once;
- ``cache``          answers kept on disk, genes among them.
"""
