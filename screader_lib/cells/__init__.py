"""Expression matrices to ranked, weighted gene sequences."""
