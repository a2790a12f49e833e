"""PseudoClick (ECCV 2022): a network that also predicts its errors, and clicks on them itself."""
