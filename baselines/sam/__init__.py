"""SAM, HQ-SAM and SAM 2.1, on the library transformers."""
