"""Inference of networks of the RITM family."""
