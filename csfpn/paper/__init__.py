"""The tables of the CSFPN paper (BMVC 2023), for `isbench report` and `isbench reproduce`."""
