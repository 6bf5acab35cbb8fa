"""Services elsewhere, asked politely and once.

- ``addresses``      URLs, proxies, and whether there is a network at all;
- ``keys``           secrets from the environment;
- ``pace``           so many requests a second and no more;
- ``waiting``        pauses before another try, told where they are long;
- ``answers``        what an answer is that is not what was asked for;
- ``web``            forms and JSON to NCBI, with retries;
- ``openai_server``  OpenAI and servers that answer as it does;
- ``downloads``      bulk files, downloaded once;
- ``cache``          answers kept on disk, ``remembered``, genes among them.
"""
