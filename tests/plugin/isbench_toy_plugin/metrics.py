import numpy as np

from isbench import Games, Metric


def average_iou(games: Games):
    return games.iou.mean(axis=1) if games.are_full else None  # None: these games cannot tell


def count_negative(games: Games):
    counts = [sum(not click.positive for click in game.clicks) for game in games.trajectories]
    return np.array(counts)


metrics = (
    Metric("Mean IoU", "mean_iou", average_iou, ".4f", "higher", view="extra"),
    Metric("Negative clicks", "negative_clicks", count_negative, view="extra"),
)
