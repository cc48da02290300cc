"""Retrieval on captions of others: what is right, and what re-ranking stands beside."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from knowlip.tasks.retrieving import DIRECTIONS, rank_queries, recall_rows

HERE, THERE, OTHER = "two ships lie here", "there are two ships", "an airfield"
WORDS = {HERE: [1.0, 0.0, 0.0], THERE: [1.001, 0.0, 0.0], OTHER: [0.0, 1.0, 0.0]}


class Reader:
    """Two of three images are liked by all texts of ships."""

    card = None

    def text(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([WORDS[text] for text in texts])


def test_any_caption_of_an_image_is_right() -> None:
    images = cast(Any, SimpleNamespace(features=torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])))
    captions = [[HERE, THERE], [THERE, HERE], [OTHER, "a runway"]]
    texts, names, other = [one[0] for one in captions], ["a", "b", "c"], np.array([1, 2, 0])
    only, _ = rank_queries(cast(Any, Reader()), images, texts, names, 0, 0, 0)
    assert only.rank_Q.tolist() == [2, 1, 1]
    of_image, of_text = rank_queries(cast(Any, Reader()), images, texts, names, 0, 0, 0, captions, other)
    assert of_image.rank_Q.tolist() == [1, 1, 1]
    assert of_image.positives_Q.tolist() == [2, 2, 1]
    assert of_text.positives_Q.tolist() == [1, 2, 2]  # of the airfield, then of each text of ships
    assert of_text.rank_Q.tolist() == [1, 1, 1]
    assert of_image.other_Q.tolist() == [1, 2, 3]  # the image of the airfield finds the ships' texts second
    assert of_text.other_Q.tolist() == [3, 2, 2]  # of equal scores the last


def test_re_ranked_queries_stand_beside_floors_and_cosine_of_the_same() -> None:
    easy = np.arange(400) < 100
    part = {
        "group": [str(n) for n in range(400)],
        "wording": 0,
        "query": [str(n) for n in range(400)],
        "rank": np.where(easy, 1, 50),
        "reranked": np.where(easy, 1, -1),
        "positives": np.where(easy, 40, 1),
        "gallery": 400,
        "often": np.where(easy, 1, 300),
        "other": 7,
    }
    table = pd.concat([pd.DataFrame(part | {"direction": direction}) for direction in DIRECTIONS])
    found = {(one.encoder, one.metric): one for one in recall_rows(table, "d", "t", "m")}
    own = found["m", "image to text R@1, re-ranked"]
    assert (own.value, own.n, own.floor, own.standing) == (1.0, 100, 1.0, "level")
    change = found["m", "image to text R@1, re-ranked minus cosine"]
    assert (change.value, change.floor, change.n) == (0.0, 0.0, 100)
    assert found["m", "image to text R@1, cosine"].floor == pytest.approx(0.25)
    assert found["m", "mean recall, re-ranked"].floor == 1.0
    assert found["other-image:m", "image to text R@10, cosine"].value == 1.0
    assert found["m", "image to text R@10, cosine"].floor_name == "other image"
