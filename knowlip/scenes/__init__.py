"""Scenes: a SAR product on disk becomes a lazy raster of power with geometry and sensor metadata."""

from knowlip.scenes.find import find_scenes, open_scene, open_scenes, unique_ids
from knowlip.scenes.scene import Scene, SceneOverrides

__all__ = ["Scene", "SceneOverrides", "find_scenes", "open_scene", "open_scenes", "unique_ids"]
