"""Models by name, their weights, and digests of their code."""
