"""`knowlip bench suite`: models x tasks x data sets x protocols x seeds of one recipe, measured and collected."""

from knowlip.benchmark.suite.command import SuiteConfig, show, suite

__all__ = ["SuiteConfig", "show", "suite"]
