"""CSFPN (Click-guided Semantic Feature Propagation Network, BMVC 2023)."""
