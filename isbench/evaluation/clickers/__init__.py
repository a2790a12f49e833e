"""Clickers: simulated users, found by name; each file is one clicker."""
