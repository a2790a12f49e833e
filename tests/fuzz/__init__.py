"""Fuzzers of all that isbench reads: no exception but IsbenchError, within memory and time.

ISBENCH_FUZZ_SECONDS is the time of each file, 1.5 by default; `make fuzz` takes about two minutes.
"""
