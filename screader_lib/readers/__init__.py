"""Readers that are ready: by name, with a card that says what they know.

- ``card``      what a reader's author says of it, stored inside the reader; in plain words;
- ``registry``  tables of readers: the packaged ones, a facility's own, those fetched;
- ``fetching``  a reader from a folder, a URL or the Hugging Face hub into the cache.

``packaged`` holds the readers that come with the suite, made by ``readers/make_reader.py``.
"""
