"""Running networks: backends, devices, checkpoints, costs."""
