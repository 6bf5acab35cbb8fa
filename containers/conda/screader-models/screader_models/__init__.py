"""Model weights; scReader reads the files and imports nothing."""
