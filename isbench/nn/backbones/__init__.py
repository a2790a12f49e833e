"""Backbones and trunks, with attributes named as in the official checkpoints."""
