"""Weights of other projects as ours: one converter a family of layouts, each accounting for every tensor of the file
and of the model."""

from knowlip.models.weights.init import InitConfig, initialise
from knowlip.models.weights.ledger import Conversion, Report
from knowlip.models.weights.own import open_start

__all__ = ["Conversion", "InitConfig", "Report", "initialise", "open_start"]
