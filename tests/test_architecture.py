"""The house holds: imports go only to rooms that stand above, no circle of files, one place that trains, names that are
unique, bodies that say why. Everything is read from the source; nothing is imported."""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = [
    "base",
    "pages",
    "jobs",
    "language",
    "scenes",
    "simulator",
    "dataset",
    "tiles",
    "annotators",
    "objectives",
    "models",
    "training",
    "scio",
    "tasks",
    "benchmark",
    "inference",
    "commands",
    "pipeline",
    "completion",
    "cli",
    "api",
]
"""From the top floor down; `commands`, `pipeline`, `completion` and `cli` are files."""
HEAVY = frozenset(
    [
        "torch",
        "torchvision",
        "timm",
        "pandas",
        "geopandas",
        "matplotlib",
        "sklearn",
        "skimage",
        "scipy",
        "numba",
        "rasterio",
        "httpx",
        "ray",
        "fastapi",
        "uvicorn",
        "lightning_fabric",
        "tensorboard",
        "tokenizers",
        "transformers",
        "huggingface_hub",
        "pyarrow",
        "webdataset",
        "jsonargparse",
        "wordcloud",
        "shapely",
        "pyproj",
        "reverse_geocoder",
        "pycocoevalcap",
        "safetensors",
        "jinja2",
        "rich",
        "yaml",
        "PIL",
    ]
)
"""Packages that take long to import: what leads to one may be imported where it is needed."""


class Import(NamedTuple):
    source: str
    target: str
    line: int
    lazy: bool
    """Within a function, or for the type checker alone."""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "knowlip").rglob("*.py")):
        found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imported(name: str) -> Iterator[tuple[str, int, bool]]:
    """(module, line, lazy) of every import in a file, of ours and of others."""

    def visit(node: ast.AST, lazy: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ImportFrom) and child.module:
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    yield (whole if whole in MODULES else child.module), child.lineno, lazy
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, child.lineno, lazy
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from visit(child, lazy or later or typing)

    yield from visit(tree(name), False)


IMPORTS = [
    Import(name, target, line, lazy)
    for name in MODULES
    for target, line, lazy in imported(name)
    if target in MODULES and target != name
]


def room(module: str) -> int:
    parts = module.split(".")
    return ROOMS.index(parts[1]) if len(parts) > 1 else -1  # `knowlip` itself is everybody's


def test_every_file_stands_in_a_room() -> None:
    strangers = {name for name in MODULES if name != "knowlip" and name.split(".")[1] not in ROOMS}
    assert not strangers


def test_imports_go_only_upwards() -> None:
    wrong = [f"{one.source}:{one.line} -> {one.target}" for one in IMPORTS if room(one.target) > room(one.source) >= 0]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_circle_of_files() -> None:
    targets = defaultdict(set)
    for one in IMPORTS:
        targets[one.source].add(one.target)
    state: dict[str, int] = {}
    circles = []

    def walk(name: str, above: tuple[str, ...]) -> None:
        state[name] = 1
        for target in sorted(targets[name]):
            if state.get(target) == 1:
                circles.append(" -> ".join([*above[above.index(target) if target in above else 0 :], name, target]))
            elif target not in state:
                walk(target, (*above, name))
        state[name] = 2

    sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))
    for name in MODULES:
        if name not in state:
            walk(name, ())
    assert not circles, "\n".join(circles)


def late(name: str) -> bool:
    """Whether a package loads what it has when a name is asked of it. (`knowlip` itself is asked only from outside.)"""
    return name != "knowlip" and any(
        isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree(name).body
    )


@cache
def heavy(name: str) -> frozenset[str]:
    """Slow packages that importing a module brings, itself and by way of others."""
    found: set[str] = set()
    todo, seen = [(name, late(name))], {(name, late(name))}
    while todo:
        module, asked = todo.pop()
        parents = [(module.rsplit(".", n)[0], False) for n in range(1, module.count(".") + 1)]
        targets = [
            (target, target in MODULES and late(target)) for target, _, lazy in imported(module) if asked or not lazy
        ]
        # A package that is on the way is asked for no name, and loads late what it loads late.
        for target in [*parents, *targets]:
            if target[0] in MODULES:
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
            elif target[0].split(".")[0] in HEAVY:
                found.add(target[0].split(".")[0])
    return frozenset(found)


def test_our_own_modules_are_imported_late_only_where_that_saves_time() -> None:
    wrong = [
        f"{one.source}:{one.line} -> {one.target}"
        for one in IMPORTS
        if one.lazy and one.source != "knowlip" and not late(one.source) and not heavy(one.target) - heavy(one.source)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_loop_trains() -> None:
    """`backward` is called in the loop, and by the engine for it."""
    calls = {
        name
        for name in MODULES
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward"
    }
    assert calls == {"knowlip.training.loop", "knowlip.training.engine"}


# ---- style ----------------------------------------------------------------------------------------------------------


def test_public_class_names_are_unique() -> None:
    where = defaultdict(list)
    for name in MODULES:
        for node in tree(name).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where[node.name].append(name)
    twice = {name: places for name, places in where.items() if len(places) > 1}
    assert not twice


def test_the_formatter_is_never_switched_off() -> None:
    word = "fmt: " + "skip"
    files = [path for folder in ("knowlip", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert not [str(path.relative_to(ROOT)) for path in files if word in path.read_text(encoding="utf-8")]


def test_long_bodies_say_why() -> None:
    """A body of 25 lines and more has a comment, or a docstring of more than its first line."""
    silent = []
    for name, path in MODULES.items():
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree(name)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if not body or node.end_lineno is None or node.end_lineno - body[0].lineno + 1 < 25:
                continue
            inside = lines[body[0].lineno - 2 : node.end_lineno]
            if not any("# " in line for line in inside):
                silent.append(f"{name}:{node.lineno} {node.name}")
    assert not silent, "\n".join(silent)
