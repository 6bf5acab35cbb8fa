"""One YAML schema per kind of exchange file; read by ``screader_lib.exchange.schema``."""
