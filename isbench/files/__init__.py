"""Files in general: downloads and archives."""
