"""Gene texts and their embeddings."""
