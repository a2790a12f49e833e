"""Systems to compare with: networks with their cards in `cards`, others with a `card` per file."""
