"""The numbers that keep the random streams of a training apart.

A stream is seeded by the recipe's seed, the number of a sample or step, and one of these. The crop,
object and first clicks of a sample have the stream without a tag.
"""

STEP = 1  # of a step: rounds of clicks, and torch's generator
CLICK = 2  # of a sample: a click on the network's error
FOCUS = 3  # of a sample: whether it is a focus view, and which
CROWD = 4  # of a sample: whether it is a crowd, and which
INPUTS = 5  # of a sample: what a network draws for its own losses
