"""FocusCut (Lin et al., CVPR 2022): a pass over the whole object, and focus views of clicks."""
