"""The demonstration: the whole suite on real cells, from packages of the Python index alone.

- ``cells``   the cells, and which of them are held out;
- ``steps``   the commands that are run, each as its own process;
- ``result``  what came out, beside the controls.
"""
