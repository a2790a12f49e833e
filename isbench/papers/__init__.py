"""The tables of the CSFPN paper (BMVC 2023): what it prints, beside what was counted and measured.

No files are written here, and no game is played. A cell without a record behind it is blank.
"""
