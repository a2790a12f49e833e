"""FocalClick (Chen et al. 2022): segments an object, then refines what a click changed."""
