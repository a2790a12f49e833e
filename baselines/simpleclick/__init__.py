"""SimpleClick (Liu et al., arXiv:2210.11006): a plain vision transformer with clicks as tokens."""
