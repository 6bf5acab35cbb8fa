"""Services elsewhere, asked politely and once.

- ``service``    a server's URL, key and proxy, rate, attempts, answers that are checked;
- ``downloads``  bulk files, downloaded once;
- ``cache``      answers kept on disk, genes among them.
"""
