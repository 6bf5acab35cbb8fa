"""Services elsewhere, asked politely and once.

- ``connections``    keys, URLs, proxies, and whether there is a network at all;
- ``service``        a limited rate, pauses between attempts, answers that are checked;
- ``web_client``     forms and JSON to NCBI, with urllib3's retries;
- ``openai_server``  OpenAI and servers that answer as it does;
- ``downloads``      bulk files, downloaded once;
- ``cache``          answers kept on disk, genes among them.
"""
