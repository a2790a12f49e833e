"""Where games are played: local processes, or a Ray cluster."""
