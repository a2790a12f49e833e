"""CSFPN (Click-guided Semantic Feature Propagation Network): no model of it is in this version."""
