"""Build a data set from every family of real samples, verify each, and draw where they lie.

    python -m benchmarks.real_samples --data FOLDER --out FOLDER [--picture docs/images/scenes-map.png]

The samples are third-party data, described in the README beside them; what a YAML must add is written to the output
folder. Chips too small for a window are skipped by the build, with their reason.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from knowlip.base.files import write_json
from knowlip.dataset.verify import verify
from knowlip.scenes import SceneOverrides
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.quality import QualityConfig


@dataclass(frozen=True)
class Family:
    """Samples that are built together."""

    title: str
    scenes: Callable[[Path, Path], list[Path]]
    """(data, out) -> paths to build from; may write YAMLs to `out`."""
    windows_m: tuple[float, float, float]
    fewest_px: float = 16.0
    read: SceneOverrides = field(default_factory=SceneOverrides)

    @property
    def quality(self) -> QualityConfig:
        """Chips of single ships are much enlarged, so they look blurred: their neighbours' vote is turned off."""
        return QualityConfig(min_good=0.0) if self.fewest_px < 16 else QualityConfig()


def _described(name: str, **keys: Any) -> Callable[[Path, Path], list[Path]]:
    """A YAML in the output folder that points to the samples; "DATA" stands for the folder of the samples."""

    def write(data: Path, out: Path) -> list[Path]:
        path = out / f"{name}.scene.yaml"
        path.write_text(yaml.safe_dump({**keys, "files": [str(data / item) for item in keys["files"]]}))
        return [path]

    return write


FAMILIES = {
    "sen1floods11": Family(
        "Sentinel-1, dB, EPSG:4326",
        lambda data, out: [data / "sen1floods11" / "S1"],
        (2560.0, 1280.0, 640.0),
    ),
    "s1-utm": Family(
        "Sentinel-1, dB, UTM (20 and 30 m)",
        lambda data, out: [data / "s1-geotiff"],
        (2560.0, 1280.0, 640.0),
    ),
    "s1-tiles": Family(
        "Sentinel-1, 8 bit, EPSG:3395",
        lambda data, out: [data / "s1-losangeles-tiles"],
        (2560.0, 1280.0, 640.0),
    ),
    "gaofen-3": Family(
        "Gaofen-3, 16 bit, place unknown",
        _described(
            "gaofen-3",
            files=["gf3-quadpol/*.tiff"],
            sensor="gaofen-3",
            band="C",
            mode="QPSI",
            units="dn",
            spacing_m=8.0,
            unlocated=True,
        ),
        (1024.0, 512.0, 256.0),
    ),
    "opensarship": Family(
        "OpenSARShip GRD, float sigma0",
        lambda data, out: sorted((data / "opensarship").glob("*GRD*.zip")),
        (320.0, 160.0, 80.0),
        7.5,
    ),
    "opensarship-slc": Family(
        "OpenSARShip SLC, complex",
        lambda data, out: sorted((data / "opensarship").glob("*SLC*.zip")),
        (224.0, 112.0, 56.0),
        3.0,
        SceneOverrides(calibrate=False),
    ),
    "dsn-ships": Family(
        "Sentinel-1 SLC chips, .npy",
        _described(
            "dsn-ships",
            files=["dsn-slc/slc_OpenSARShip/**/*.npy"],
            sensor="sentinel-1",
            band="C",
            polarisation="VV",
            product_type="SLC",
            mode="IW",
            looks=1,
            projection="slant",
            spacing_m=[13.94, 2.33],
            incidence_deg=38,
            unlocated=True,
            group="{parent}",
        ),
        (224.0, 112.0, 56.0),
        3.0,
    ),
    "dsn-land": Family(
        "Complex chips, .npy",
        _described(
            "dsn-land",
            files=["dsn-slc/slc_data/**/*.npy"],
            polarisation="HH",
            looks=1,
            spacing_m=1.0,
            unlocated=True,
            group="{parent}",
        ),
        (64.0, 32.0, 16.0),
    ),
}
"""Name -> samples. Chips that state no spacing get the nominal one of their mode, or one metre."""


def build_family(name: str, data: Path, out: Path) -> dict[str, Any]:
    """Build and verify one family; facts of the result."""
    family = FAMILIES[name]
    place = out / name
    result = build(
        BuildConfig(
            scenes=family.scenes(data, out),
            out=place,
            windows_m=family.windows_m,
            fewest_px=family.fewest_px,
            read=family.read,
            quality=family.quality,
            workers=min(2, os.cpu_count() or 1),
        )
    )
    verified = verify(place)
    return {
        "title": family.title,
        "scenes": result["scenes"],
        "tiles": verified["tiles"],
        "accepted": verified["accepted"],
        "rejected": verified["rejected"],
        "skipped": len(result["skipped"]),
        "skipped_because": sorted({item["reason"].split(":")[-1].strip()[:160] for item in result["skipped"]})[:5],
        "splits": verified["splits"],
        "seconds": result["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in arguments.only:
        results[name] = build_family(name, arguments.data.resolve(), arguments.out)
        print(name, json.dumps(results[name]))
    write_json(arguments.out / "real_samples.json", results)
    if arguments.picture:
        from benchmarks.real_samples_map import draw

        draw(arguments.out, {name: FAMILIES[name].title for name in arguments.only}, arguments.picture)


if __name__ == "__main__":
    main()
