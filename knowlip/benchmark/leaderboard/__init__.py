"""`knowlip bench leaderboard`: the tables of the paper with what was measured here, its floors and its doubts."""

from knowlip.benchmark.leaderboard.command import LeaderboardConfig, leaderboard, show

__all__ = ["LeaderboardConfig", "leaderboard", "show"]
