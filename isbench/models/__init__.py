"""Models by name, their weights and the digests of their code."""
