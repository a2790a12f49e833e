"""Recorded runs: run files, their lines, and the environment of a run."""
