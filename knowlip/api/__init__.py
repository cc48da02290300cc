"""KnowLIP in Python, by a dozen names: `import knowlip`, then `knowlip.ask(...)`.

Nothing of this is loaded by `import knowlip` alone. What is said here comes back as plain records (dicts),
GeoDataFrames and NumPy arrays; every setting of a command is a keyword of the function of its name. The examples of all
docstrings are one story that tests run from :func:`simulate` on.
"""

from knowlip.api.archives import Index, ScenePredictions, predict, search
from knowlip.api.making import annotate, build, open_scene, simulate
from knowlip.api.running import run
from knowlip.api.use import ask, caption, embed
from knowlip.dataset import Dataset

__all__ = [
    "Dataset",
    "Index",
    "ScenePredictions",
    "annotate",
    "ask",
    "build",
    "caption",
    "embed",
    "open_scene",
    "predict",
    "run",
    "search",
    "simulate",
]
