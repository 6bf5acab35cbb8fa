"""What the executables share, so that each of them only reads, calls the library and writes.

- ``tool``      the click command: one-line errors, exit statuses, examples in the help;
- ``signals``   how a signal ends a run;
- ``group``     a command made of subcommands, imported when used;
- ``run``       one run of a tool: inputs, output, provenance;
- ``options``   options that several tools have;
- ``progress``  messages and progress bars on standard error.
"""
