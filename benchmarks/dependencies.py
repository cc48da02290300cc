"""What each package that KnowLIP needs weighs, and what would be gone without it.

    python -m benchmarks.dependencies [--extras cluster ...]

prints, for every requirement of `pyproject.toml`, the megabytes of its own files in this environment, and of all
packages that nothing else needs; the heaviest of those that come along with others stand below. Nothing is fetched.
"""

import argparse
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def installed() -> dict[str, Distribution]:
    """Canonical name -> distribution."""
    return {canonicalize_name(one.metadata["Name"]): one for one in distributions()}


def closure(requirements: Iterable[str], known: dict[str, Distribution]) -> set[str]:
    """Canonical names of all installed distributions that these requirements bring, themselves included."""
    todo, seen = [Requirement(one) for one in requirements], set[tuple[str, frozenset[str]]]()
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if name not in known or (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in known[name].requires or ():
            further = Requirement(text)
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                todo.append(further)
    return {name for name, _ in seen}


def megabytes(names: Iterable[str], known: dict[str, Distribution]) -> float:
    """Size of all files of these distributions on disk."""
    return sum(file.size or 0 for name in names for file in known[name].files or ()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", default=[], help="extras that count too")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = list(project["dependencies"])
    for extra in options.extras:
        needed += project["optional-dependencies"][extra]
    known = installed()
    every = closure(needed, known)
    gpu = {name for name in every if name.startswith(("nvidia-", "cuda-", "triton"))}
    print(f"{len(every)} packages, {megabytes(every, known):,.0f} MB; {len(gpu)} of them for GPUs alone, ", end="")
    print(f"{megabytes(gpu, known):,.0f} MB")
    print(f"{'requirement':28} {'own MB':>8} {'gone without it':>16}")
    rows = []
    for requirement in needed:
        name = canonicalize_name(Requirement(requirement).name)
        rest = closure([one for one in needed if one != requirement], known)
        rows.append((megabytes({name} & known.keys(), known), megabytes(every - rest, known), len(every - rest), name))
    for own, gone, number, name in sorted(rows, reverse=True):
        print(f"{name:28} {own:8.1f} {gone:9.1f} MB, {number}")


if __name__ == "__main__":
    main()
