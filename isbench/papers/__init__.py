"""The tables of the CSFPN paper (BMVC 2023): published figures next to computed and measured ones.

Writes no files and plays no games. A cell without a matching run is blank.
"""
