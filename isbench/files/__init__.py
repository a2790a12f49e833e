"""General file handling: downloads and archives."""
