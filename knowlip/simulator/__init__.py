"""Simulated SAR scenes with exact truth: ports, airports, towns and countryside for three sensors."""

from knowlip.simulator.stage import SimulateConfig, simulate

__all__ = ["SimulateConfig", "simulate"]
