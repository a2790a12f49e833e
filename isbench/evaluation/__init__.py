"""Evaluation: the engine, clickers, runs and their jobs, and the replay of recorded games."""
