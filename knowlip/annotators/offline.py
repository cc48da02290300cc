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

    Raises:
        ValueError: that of a plug-in is not known here, or cannot be made.
    """
    # Of one name ours is taken: a package that is installed must not change what a command did before. Modules beside
    # the annotators that are none have no name here.
    own = _own()
    tell_hidden("annotators", own)
    annotator: Annotator
    if name in own:
        annotator = import_module(f"{__package__}.{name}").ANNOTATOR()
        return annotator
    make = plugin("annotators", name)
    try:
        annotator = make()
    except Exception as error:  # it is another's code: whatever goes wrong in it is said with its name
        raise ValueError(
            f"The annotator {name} of a plug-in cannot be made ({type(error).__name__}: {error})."
        ) from error
    for needed in ("name", "annotate"):
        if not hasattr(annotator, needed):
            raise ValueError(f"The annotator {name} of a plug-in lacks {needed}.")
    return annotator
