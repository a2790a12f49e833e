"""A Ray cluster of two machines, one of which dies: the same bytes as one worker gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isbench.errors import IsbenchError, PredictorError
from isbench.evaluation.executors.ray_cluster import Ray
from isbench.evaluation.runner import run
from isbench.types import Game, Rules
from tests.evaluation.test_processes import deadly
from tests.support import toys
from tests.support.listening import Listening

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
RULES = Rules(max_clicks=5, stop_iou=1.01)


@pytest.fixture
def cluster() -> Any:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


class Killing(Listening):
    """Takes a machine away after some games."""

    def __init__(self, cluster: Any, after: int) -> None:
        super().__init__()
        self.cluster, self.after = cluster, after

    def add_game(self, game: Game) -> None:
        super().add_game(game)
        if len(self.games) == self.after:
            self.cluster.remove_node(self.cluster.worker_nodes.copy().pop(), allow_graceful=False)


def test_a_machine_that_dies_costs_its_unfinished_objects_only(
    tmp_path: Path, cluster: Any
) -> None:
    data, watch = toys.blobs(24), Killing(cluster, 5)
    executor = Ray(cluster.address)
    path = run(
        toys.card, data, RULES, out=tmp_path / "ray", workers=2, watch=watch, executor=executor
    )
    whole = run(toys.card, data, RULES, out=tmp_path / "one")
    assert path.path.read_bytes() == whole.path.read_bytes()
    assert sorted(watch.games) == sorted(data.keys)


def test_a_worker_that_dies_again_and_again_is_named(tmp_path: Path, cluster: Any) -> None:
    card, data, watch = deadly(tmp_path, 99), toys.blobs(9), Listening()
    with pytest.raises(PredictorError, match="died repeatedly at image001#0"):
        run(card, data, RULES, out=tmp_path / "r", watch=watch, executor=Ray(cluster.address))
    assert sorted(watch.games) == [key for key in data.keys if "image001" not in key]


def test_what_a_worker_raises_reaches_the_user(tmp_path: Path, cluster: Any) -> None:
    with pytest.raises(PredictorError, match="model raising"):
        run(toys.raising_card, toys.blobs(3), RULES, out=tmp_path, executor=Ray(cluster.address))


def test_an_error_of_a_worker_keeps_its_setting(tmp_path: Path, cluster: Any) -> None:
    strict, executor = Rules(reject_empty=True), Ray(cluster.address)
    with pytest.raises(IsbenchError, match="use the preset ritm-2021") as raised:
        run(toys.card, toys.empty_blobs(2), strict, out=tmp_path, executor=executor)
    assert raised.value.setting == "preset"


def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(IsbenchError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        run(toys.card, toys.blobs(3), RULES, out=tmp_path, executor=Ray("127.0.0.1:1"))
