"""FCA-Net (Lin et al., CVPR 2020): a network in which the first click has its own branch."""
