"""Annotators that work offline, found by their files: a module or folder of `knowlip/annotators` with `ANNOTATOR`;
and those of plug-ins."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

from knowlip.annotators.types import Annotator
from knowlip.base.plugins import plugin, plugin_names, tell_hidden


def offline_annotators() -> list[str]:
    """Names of those that there are."""
    return sorted({*_own(), *plugin_names("annotators")})


def _own() -> list[str]:
    """Names of ours. Their files are read, not imported: some modules here take long to import."""
    folder = Path(__file__).parent
    names = []
    for found in iter_modules([str(folder)]):
        spec = find_spec(f"{__package__}.{found.name}")
        if spec is not None and spec.origin and "\nANNOTATOR = " in Path(spec.origin).read_text(encoding="utf-8"):
            names.append(found.name)
    return names


def offline_annotator(name: str) -> Annotator:
    """A new annotator.

    Args:
        name: of :func:`offline_annotators`.
    """
    # Of one name ours is taken: a package that is installed must not change what a command did before. Modules beside
    # the annotators that are none have no name here.
    own = _own()
    tell_hidden("annotators", own)
    make = import_module(f"{__package__}.{name}").ANNOTATOR if name in own else plugin("annotators", name)
    annotator: Annotator = make()
    return annotator
