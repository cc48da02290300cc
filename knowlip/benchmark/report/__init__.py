"""The report: one HTML file that shows the data, the training and the results without a network."""

from knowlip.benchmark.report.build import ReportConfig, report

__all__ = ["ReportConfig", "report"]
