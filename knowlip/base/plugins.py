"""What other packages and programs add: readers, annotators, encoders, towers, tasks, objectives and callbacks.

A package names them as entry points of the groups `knowlip.readers`, `knowlip.annotators` and so on; a program calls
:func:`register`. KnowLIP's own come first: nothing takes their names. Nothing of a package is loaded before its name is
asked for, but for readers, which are asked about every file.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, get_args

from knowlip.base.progress import say

PluginKind = Literal["readers", "annotators", "encoders", "towers", "tasks", "objectives", "callbacks"]
_ADDED: Final[dict[str, dict[str, Any]]] = {kind: {} for kind in get_args(PluginKind)}


def register(kind: PluginKind, name: str, what: Any) -> None:
    """Add something for this process, and for those that it starts where the script calls this at its top level, above
    `if __name__ == "__main__":` (they read that part again). All processes know what entry points name.

    Args:
        kind: "readers", "annotators", "encoders", "towers", "tasks", "objectives" or "callbacks".
        name: by which it is asked for: lower-case letters, digits, "_" and "-".
        what: module or object; docs/contributing says what each kind has.

    Raises:
        ValueError: no such kind, a name that is none, or one that something else has.
    """
    if kind not in _ADDED:
        raise ValueError(f"There is no kind of plug-in {kind!r}: choose from {', '.join(_ADDED)}.")
    if not name or not name.replace("-", "_").isidentifier() or name != name.lower():
        raise ValueError(f"{name!r} is no name of a plug-in: use lower-case letters, digits, _ and -.")
    if _ADDED[kind].get(name, what) is not what:
        raise ValueError(f"Another of the {kind} is called {name} already: take another name, or unregister it.")
    _ADDED[kind][name] = what


def unregister(kind: PluginKind, name: str) -> None:
    """Take back what :func:`register` added; nothing happens where there is none."""
    _ADDED[kind].pop(name, None)


def plugin_names(kind: PluginKind) -> list[str]:
    """Names of those that there are; nothing is loaded."""
    return sorted({*_ADDED[kind], *_points(kind)})


def plugin(kind: PluginKind, name: str, needs: Sequence[str] = ()) -> Any:
    """One of them, loaded.

    Args:
        kind: of it.
        name: of :func:`plugin_names`.
        needs: attributes that it must have.

    Raises:
        ValueError: this process knows none, it cannot be loaded, or it lacks something.
    """
    found = _ADDED[kind].get(name)
    if found is None:
        if name not in _points(kind):
            raise ValueError(
                f"The plug-in {name} ({kind}) is not known to this process: call register above "
                '`if __name__ == "__main__":` of the script, where the processes that it starts read it too, install '
                "it as a package with entry points, or give workers=1."
            )
        point = _points(kind)[name]
        try:
            found = point.load()
        except Exception as error:  # it is another's code: whatever goes wrong in it is said with its name
            raise ValueError(
                f"{_whose(kind, name, point)} cannot be loaded ({type(error).__name__}: {error})."
            ) from error
    missing = [one for one in needs if not hasattr(found, one)]
    if missing:
        raise ValueError(f"{_whose(kind, name, _points(kind).get(name))} lacks {', '.join(missing)}.")
    return found


def loaded_plugins(kind: PluginKind, needs: Sequence[str] = ()) -> dict[str, Any]:
    """All of a kind that can be loaded; of the others it is said once why they cannot."""
    found = {}
    for name in plugin_names(kind):
        try:
            found[name] = plugin(kind, name, needs)
        except ValueError as error:
            _said(str(error))
    return found


def tell_hidden(kind: PluginKind, own: Iterable[str]) -> None:
    """Say once which plug-ins are not taken because one of ours has their name."""
    for name in sorted({*own} & {*plugin_names(kind)}):
        _said(f"{_whose(kind, name, _points(kind).get(name))}: one of KnowLIP's own has its name.")


@cache
def _said(sentence: str) -> None:
    say(f"  left out: {sentence}")


@cache
def _points(kind: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    # Of two packages with one name the first by the package's name, wherever they lie; the other is told.
    points = entry_points(group=f"knowlip.{kind}")
    for point in sorted(points, key=lambda one: (one.name, one.dist.name if one.dist else "")):
        if (other := found.setdefault(point.name, point)).value != point.value:
            _said(f"{_whose(kind, point.name, point)}; the one taken is {other.value}, which has its name too.")
    return found


def _whose(kind: str, name: str, point: EntryPoint | None) -> str:
    package = f" of the package {point.dist.name}" if point is not None and point.dist is not None else ""
    return f"The plug-in {name} ({kind}){package}"
