"""Backbones and trunks of networks, named as the official checkpoints name them."""
