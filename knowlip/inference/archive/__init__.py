"""An archive that can be asked: windows of scenes and tiles of data sets as vectors, with their places, dates, sensors
and pictures."""

from knowlip.inference.archive.parts import ArchivePart, Filters, SceneArchive

__all__ = ["ArchivePart", "Filters", "SceneArchive"]
