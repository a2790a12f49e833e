"""Numbers from trajectories and masks. Arrays in, arrays out; no files, no models."""

from isbench.metrics.backsliding import count_backslides
from isbench.metrics.clicks import (
    Difference,
    Floats,
    bootstrap,
    clicks_to,
    compare_paired,
    compute_auc,
    count_by_clicks,
    curves,
    find_failures,
    find_failures_ritm,
    find_image,
    has_scored_pixels,
)
from isbench.metrics.corrections import CORRECTIONS
from isbench.metrics.metric import (
    Figure,
    Games,
    Metric,
    Values,
    compute_values,
    make_games,
    summarise,
)
from isbench.metrics.overlap import count_overlap
from isbench.metrics.ranks import Ranking, group_systems, rank_systems
from isbench.metrics.registry import (
    MAIN_NOC,
    METRICS,
    find_metric,
    list_metrics,
    match_metric,
)
from isbench.metrics.several_datasets import compare_over_datasets
from isbench.metrics.smallest_difference import can_reject, find_smallest_difference
from isbench.metrics.study import (
    Extremes,
    Spread,
    bootstrap_two_levels,
    find_extremes,
    measure_half_increase,
    measure_increase,
    measure_sensitivity,
    summarise_seeds,
)
from isbench.metrics.targets import IOU_AT, MAIN_TARGET, TARGETS, USUAL_TARGETS, limit_target

__all__ = [
    "CORRECTIONS",
    "IOU_AT",
    "MAIN_NOC",
    "MAIN_TARGET",
    "METRICS",
    "TARGETS",
    "USUAL_TARGETS",
    "Difference",
    "Extremes",
    "Figure",
    "Floats",
    "Games",
    "Metric",
    "Ranking",
    "Spread",
    "Values",
    "compute_auc",
    "bootstrap",
    "bootstrap_two_levels",
    "can_reject",
    "clicks_to",
    "compare_over_datasets",
    "compare_paired",
    "compute_values",
    "count_backslides",
    "count_by_clicks",
    "count_overlap",
    "curves",
    "find_extremes",
    "find_failures",
    "find_failures_ritm",
    "find_metric",
    "find_smallest_difference",
    "group_systems",
    "has_scored_pixels",
    "find_image",
    "list_metrics",
    "make_games",
    "measure_half_increase",
    "measure_increase",
    "measure_sensitivity",
    "match_metric",
    "rank_systems",
    "limit_target",
    "summarise",
    "summarise_seeds",
]
