"""The demonstration: the whole suite on real cells, from packages of the Python index alone.

- ``cells``  the cells, and which of them are held out;
- ``steps``  the commands, each run as its own process, and the table of their results.
"""
