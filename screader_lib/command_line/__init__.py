"""What the executables share, so that each of them only reads, calls the library and writes."""
