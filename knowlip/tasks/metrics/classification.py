"""Right among the first k, and what the most similar known image says.

Shapes: T images asked about, N known ones, C classes, D numbers that stand for an image.
"""

import numpy as np
import torch
from torch import Tensor

_AT_ONCE = 256


def hits(scores_TC: Tensor, label_T: Tensor, k: int) -> np.ndarray:
    """Whether the right class is among the k with the highest scores (T,) bool; label -1 (none of the classes) never
    is."""
    best = scores_TC.topk(min(k, scores_TC.shape[1]), dim=1).indices
    return np.asarray((best == label_T[:, None]).any(1))


def nearest_classes(known_ND: Tensor, label_N: Tensor, asked_TD: Tensor, classes: int) -> Tensor:
    """Minus the distance to the nearest known image of each class (T, C): the best class is the 1-NN's."""
    found = []
    for part in asked_TD.split(_AT_ONCE):  # all distances at once would not fit for large sets
        distance = torch.cdist(part, known_ND)
        nearest = torch.full((len(part), classes), torch.inf)
        found.append(-nearest.scatter_reduce(1, label_N.expand(len(part), -1), distance, "amin"))
    return torch.cat(found)
