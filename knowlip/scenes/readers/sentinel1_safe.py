"""Files of a Sentinel-1 SAFE product, in a folder or in a zip archive that is read in place.

Source: Sentinel-1 Product Specification (S1-RS-MDA-52-7441), sections 3 (product structure) and 5 (naming).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from knowlip.scenes.errors import DamagedProduct, UnknownFormat
from knowlip.scenes.opening import open_zip, read_member, require_file
from knowlip.scenes.xml import LARGEST_XML, read_xml

MANIFEST = "manifest.safe"
_ANNOTATION = re.compile(
    r"annotation/(s1([a-d])-([a-z0-9]+)-(?:slc|grd[a-z]?)-(?P<pol>[vh][vh])-[a-z0-9-]+)\.xml$", re.IGNORECASE
)
_SHORT = re.compile(r"annotation/([a-z0-9]+-(?P<pol>[vh][vh]))\.xml$", re.IGNORECASE)
"""Names in the open data of AWS: swath and polarisation, "iw-vv"."""


@dataclass(frozen=True)
class Safe:
    """A product on disk."""

    path: Path  # What the user named.
    root: Path  # The .SAFE folder, or the archive.
    prefix: str = ""  # Folder inside the archive with a trailing slash; "" where the product lies in a plain folder.

    @property
    def archived(self) -> bool:
        return bool(self.prefix)

    def exists(self, name: str) -> bool:
        """Whether the member `name` (relative, with forward slashes) is there."""
        if not self.archived:
            return (self.root / name).is_file()
        with open_zip(self.root) as archive:
            return self.prefix + name in archive.namelist()

    def read(self, name: str) -> bytes:
        """Content of a metadata file.

        Raises:
            DamagedProduct: it is absent or cannot be unpacked.
        """
        try:
            if not self.archived:
                return _content(self.root / name)
            with open_zip(self.root) as archive:
                return read_member(archive, self.prefix + name, LARGEST_XML, self.label(name))
        except KeyError:
            raise DamagedProduct(f"{self.label(name)} is missing, is the product complete?") from None
        except OSError as error:
            raise DamagedProduct(f"{self.label(name)} cannot be read, is the product complete? ({error})") from error

    def label(self, name: str) -> str:
        """How messages call a member."""
        return f"{self.root}/{self.prefix}{name}"

    def source(self, name: str) -> str:
        """GDAL's name of a raster member."""
        if not self.archived:
            return str(self.root / name)
        return f"/vsizip/{{{self.root.resolve()}}}/{self.prefix}{name}"

    def files(self, names: list[str]) -> tuple[Path, ...]:
        """Files on disk that hold the members."""
        return (self.root,) if self.archived else tuple(self.root / name for name in names)

    def measurement(self, stem: str) -> str:
        """Member with the pixels of an image; in products stored as COG the names differ by "-cog"."""
        plain = stem.removesuffix("-cog")
        names = [f"measurement/{name}.tiff" for name in dict.fromkeys((stem, plain, f"{plain}-cog"))]
        return next((name for name in names if self.exists(name)), names[0])

    def annotation(self, stem: str) -> str:
        """Member that describes an image."""
        return f"annotation/{stem}.xml"

    def images(self) -> dict[str, str]:
        """Images that are there: stem of annotation and measurement -> polarisation. The manifest says which a product
        has; without one (parts of products, downloads of single files) the annotations do.

        Raises:
            UnknownFormat: none of Level-1 SLC or GRD.
            DamagedProduct: the manifest is not well-formed, or not one of the images that it lists is there.
        """
        listed, found = self.listed(), {}
        for stem, polarisation in listed.items():
            here = self._on_disk(stem)
            if here:
                found[here] = polarisation
        if not listed:
            others = "Level-0 and Level-2 products are not images that can be cut"
            raise UnknownFormat(f"{self.path} lists no Level-1 SLC or GRD image in its manifest; {others}.")
        if not found:
            first = self.label(self.measurement(next(iter(listed))))
            raise DamagedProduct(f"{first} is missing, and so are all images of the product, is it complete?")
        return dict(sorted(found.items()))

    def listed(self) -> dict[str, str]:
        """Images of the product, whether they are there or not: stem -> polarisation."""
        if self.exists(MANIFEST):
            manifest = read_xml(self.read(MANIFEST), self.label(MANIFEST))
            names = [location.get("href", "") for location in manifest.iter("fileLocation")]
        else:
            names = [f"annotation/{path.name}" for path in sorted((self.root / "annotation").glob("*.xml"))]
        matches = [match for name in names if (match := _ANNOTATION.search(name) or _SHORT.search(name))]
        return {match[1]: match["pol"].upper() for match in matches}

    def absent(self) -> list[str]:
        """Images that the product lists and that are not there, by swath and polarisation."""
        listed = self.listed()
        return sorted(_short(stem).upper() for stem in listed if not self._on_disk(stem))

    def unlisted(self) -> list[str]:
        """Annotations of images in the folder that its manifest does not list: those of another product perhaps."""
        if self.archived or not self.exists(MANIFEST):
            return []
        listed = {name for stem in self.listed() for name in (stem.lower(), _short(stem))}
        there = sorted(path.name for path in (self.root / "annotation").glob("*.xml"))
        matches = [_ANNOTATION.search(f"annotation/{name}") or _SHORT.search(f"annotation/{name}") for name in there]
        return [name for name, match in zip(there, matches) if match and match[1].lower() not in listed]

    def _on_disk(self, stem: str) -> str:
        """The stem under which an image is there: as listed, or by swath and polarisation alone; "" where it is not."""
        for name in dict.fromkeys((stem, _short(stem))):
            if self.exists(self.annotation(name)) and self.exists(self.measurement(name)):
                return name
        return ""


def _short(stem: str) -> str:
    match = _ANNOTATION.fullmatch(f"annotation/{stem}.xml")
    return f"{match[3]}-{match['pol']}".lower() if match else stem


def open_safe(path: Path) -> Safe | None:
    """The product at `path` (.SAFE folder with its manifest or without, the manifest, or a zip archive of a folder);
    None where there is none."""
    if path.is_dir():
        return Safe(path, path) if _is_sentinel_1(path) else None
    if path.name == MANIFEST and path.is_file():
        return Safe(path, path.parent) if _is_sentinel_1(path.parent) else None
    if path.suffix.lower() == ".zip" and path.is_file():
        try:
            with open_zip(path) as archive:
                manifests = [name for name in archive.namelist() if name.endswith(f".SAFE/{MANIFEST}")]
        except DamagedProduct:
            return None
        if len(manifests) == 1 and Path(manifests[0]).parent.name.upper().startswith("S1"):
            return Safe(path, path, manifests[0].removesuffix(MANIFEST))
    return None


def _content(path: Path) -> bytes:
    """Content of a metadata file of a folder."""
    require_file(path)
    if path.stat().st_size > LARGEST_XML:
        raise DamagedProduct(f"{path} is larger than {LARGEST_XML >> 20} MB, which no product's metadata is.")
    return path.read_bytes()


def _is_sentinel_1(folder: Path) -> bool:
    """By the name, or (renamed folders) by the annotations; Sentinel-2 and -3 have manifests as well."""
    if not (folder / MANIFEST).is_file():
        return any((folder / "annotation").glob("s1[a-d]-*.xml")) and (folder / "measurement").is_dir()
    return folder.name.upper().startswith("S1") or any((folder / "annotation").glob("s1*.xml"))
