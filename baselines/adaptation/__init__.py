"""IA+SA (ECCV 2020): the weights of a network adapt to the user's clicks during the games."""
