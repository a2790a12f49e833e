"""f-BRS-B: clicks answered by optimising the scale and bias of a network's features."""
