"""How networks are computed: backends, devices, checkpoints, costs."""
