"""Executors of jobs: local processes or a Ray cluster."""
