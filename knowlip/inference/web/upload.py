"""Files of strangers: what of an upload is refused before anything works on it.

A GeoTIFF, or the zip of a SAFE product, which is read in place and never unpacked. The file lies in a folder of its own
under a name of ours. Its header is read by a process of its own, so that a file that breaks a library does not break
the server.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from knowlip.pages.server import Refused
from knowlip.scenes.opening import open_zip

MOST_MEMBERS: Final = 2_000
"""Of a zip; a SAFE product of all swaths and polarisations has some hundred."""
_MOST_RATIO: Final = 200
"""Unpacked bytes to packed ones of one member; annotations reach 30."""
_SMALL: Final = 1 << 20
"""Unpacked bytes up to which nobody asks about the ratio."""
_TIFF: Final = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_ZIP: Final = b"PK\x03\x04"
_SECONDS: Final = 60
"""How long a header may take to be understood."""
_HIDDEN: Final = ("KNOWLIP_SERVE_KEY", "OPENAI_API_KEY", "HF_TOKEN")
"""Variables that a process which reads files of strangers does not get."""


def ending_of(head: bytes) -> str:
    """ ".tif" or ".zip" by the first bytes of a file.

    Raises:
        Refused: neither.
    """
    if not head:
        raise Refused("The file is empty.")
    if head.startswith(_TIFF):
        return ".tif"
    if head.startswith(_ZIP):
        return ".zip"
    raise Refused("The file is neither a GeoTIFF nor the zip of a SAFE product: no other is taken.", 415)


def check_zip(path: Path, most_bytes: int) -> None:
    """Refuse a zip that is no SAFE product, or a trap.

    Args:
        path: the file.
        most_bytes: that its members may unpack to.

    Raises:
        Refused: too many members, too much in them, names that lead elsewhere, links, passwords, or no manifest.
    """
    # Nothing is unpacked: members are read in place. What an unpacker would fall for is refused all the same.
    try:
        with open_zip(path) as archive:
            members = archive.infolist()
    except ValueError as error:
        raise Refused(str(error).replace(str(path), "The zip")) from None
    if len(members) > MOST_MEMBERS:
        raise Refused(f"The zip has {len(members):,} members: at most {MOST_MEMBERS:,} are taken.", 413)
    names = [member.filename for member in members]
    for name in names:
        parts = PurePosixPath(name).parts
        if ".." in parts or name.startswith("/") or "\\" in name or ":" in name or "\x00" in name:
            raise Refused("The zip has a member whose name leads out of it.")
    if len({*names}) != len(names):
        raise Refused("The zip has two members of one name.")
    for member in members:
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Refused("The zip has a member that is a link.")
        if member.flag_bits & 1:
            raise Refused("The zip has a password: send it without one.")
        if member.file_size > _SMALL and member.file_size > _MOST_RATIO * max(member.compress_size, 1):
            raise Refused("The zip has a member that unpacks to far more than a product does.", 413)
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_bytes:
        raise Refused(f"The zip unpacks to {unpacked / 1e6:,.0f} MB: at most {most_bytes / 1e6:,.0f} are taken.", 413)
    if not any(PurePosixPath(name).name == "manifest.safe" for name in names):
        raise Refused("The zip is no SAFE product: it has no manifest.safe.", 415)


def understood(path: Path, most_pixels: float, name: str) -> dict[str, Any]:
    """What `knowlip scene info` says of the first scene of a file.

    Args:
        path: the file.
        most_pixels: that a scene may have.
        name: of the file, for people.

    Raises:
        Refused: it cannot be read, or is too large.
    """
    line = [sys.executable, "-m", "knowlip.cli", "scene", "info", str(path), "--pixels", "false", "--json"]
    try:
        found = subprocess.run(line, capture_output=True, env=quiet_environment(), timeout=_SECONDS, text=True)
    except subprocess.TimeoutExpired:
        raise Refused(f"{name} could not be understood within {_SECONDS} s.", 422) from None
    if found.returncode != 0:
        raise Refused(refusal_of(found.stderr, path, name), 422)
    try:
        scenes = json.loads(found.stdout)["scenes"]
        facts: dict[str, Any] = dict(scenes[0])
        sizes = [[int(side) for side in scene["size_px"]] for scene in scenes]
        columns, rows = max(sizes, key=lambda size: size[0] * size[1])  # of a product the largest of its scenes counts
    except (ValueError, KeyError, IndexError, TypeError):
        raise Refused(f"{name} could not be understood.", 422) from None
    if columns * rows > most_pixels:
        raise Refused(
            f"{name} has {columns:,} x {rows:,} pixels: at most {most_pixels / 1e6:g} megapixels are taken.", 413
        )
    told = ("sensor", "band", "polarisation", "date", "resolution_m", "size_km", "center", "footprint", "notes")
    notes = [str(note).replace(str(path.parent), "").replace(path.name, name) for note in facts["notes"]]
    return {key: facts.get(key) for key in told} | {"size_px": sizes[0], "notes": notes}


def refusal_of(said: str, path: Path, name: str) -> str:
    """The sentence with which a command ended, with nothing of this machine in it."""
    lines = [line for line in said.splitlines() if line.startswith("knowlip ")]
    if not lines:
        return f"{name} could not be read: what reads it has failed."
    sentence = lines[-1].partition(": ")[2]
    sentence = sentence.replace(str(path), name).replace(str(path.parent), "").replace(path.name, name)
    return sentence.partition("] ")[2] if sentence.startswith("[") else sentence


def quiet_environment(**more: str) -> Mapping[str, str]:
    """The environment of a process that reads files of strangers: no keys, a single thread less to fight for."""
    return {name: value for name, value in os.environ.items() if name not in _HIDDEN} | more


def plain_name(sent: str) -> str:
    """A file's name for people: its last part, of plain letters; it never names a file here."""
    last = sent.replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter if letter.isalnum() or letter in "._- " else "_" for letter in last).strip(". ")
    return kept[:80] or "upload"
