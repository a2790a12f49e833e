"""The terms of the weights that come with isbench. No torch.

They follow from the training data and the first weights, whatever the licence of the code is. The
cards in the files say the first in part, and name only what the last training began from.
"""

MINI_TERMS = "for research only: the publishers of the training images allow no other use"
LITE_TERMS = f"{MINI_TERMS}; began from ImageNet weights of EfficientNet-Lite0 under Apache-2.0"
