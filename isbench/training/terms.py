"""The terms of the weights that come with isbench. No torch.

They follow from the training data and the first weights, whatever the licence of the code is. The
card in a weight file names part of the data, and only the weights that the last training began
from.
"""

MINI_TERMS = "for research only: the publishers of the training images allow no other use"
LITE_TERMS = (
    f"{MINI_TERMS}; initialised from ImageNet weights of EfficientNet-Lite0 under Apache-2.0"
)
