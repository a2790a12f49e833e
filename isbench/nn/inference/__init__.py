"""How networks of the RITM family answer a click."""
