"""The subcommands of ``screader readers``, one file each."""
