"""Games: the engine, the clicker, runs and their jobs, and games played again."""
