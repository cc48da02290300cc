"""A small archive of a simulated scene with the model of the package, served in this process or over HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi.testclient import TestClient

from knowlip.inference.archive.adding import IndexConfig, index
from knowlip.inference.settings import ServeConfig
from knowlip.inference.web.site import open_site
from knowlip.models.default import shipped_model
from knowlip.models.detection import Detector, DetectorConfig
from knowlip.models.encoders import open_encoder
from knowlip.simulator import SimulateConfig, simulate
from knowlip.tasks.detect import DetectConfig
from knowlip.tasks.detect_folder import save_detector

SMALL: dict[str, Any] = {
    **{"width": 16, "rpn_convs": 1, "proposals": 20, "samples": 16, "box_convs": 0, "box_width": 32},
    **{"least_score": 0.0, "anchor_scale": 4.0, "drop_path": 0.0},
}


def simulated(folder: Path, side_m: float = 1536.0) -> Path:
    """An X-band scene of a port with pixels of 3 m; 2 x 2 windows of 768 m."""
    sizes = {"sim-x": side_m}
    simulate(
        SimulateConfig(
            out=folder, cities=1, first_city=3, sensors=("sim-x",), themes=("port",), scene_size_m=sizes, workers=1
        )
    )
    return next(folder.glob("*-x.tif"))


def archived(scene: Path, folder: Path) -> Path:
    """An archive of a scene."""
    index(IndexConfig(scenes=[scene], out=folder, model=shipped_model(), device="cpu"))
    return folder


def random_detector(folder: Path) -> Path:
    """A detector with random weights that learned, as its card says, on pixels of 2 to 4 m."""
    detector = Detector(open_encoder("random:vit_tiny_patch16_224", size=64), ["ship"], DetectorConfig(**SMALL)).eval()
    config = DetectConfig(dataset=folder, encoder="random:vit_tiny_patch16_224", size=64, out=folder)
    taught = {"metres_per_pixel": [2.0, 4.0], "tile_px": 256, "quantisers": [], "sensors": ["sim-x"]}
    save_detector(detector, detector.state_dict(), folder, config, [], taught)
    return folder


@contextmanager
def asked(archive: Path, key: str = "", **changes: Any) -> Iterator[TestClient]:
    """A client of a served archive, in this process."""
    config = ServeConfig(index=archive, model=shipped_model(), device="cpu", **changes)
    with (
        open_site(config, key) as site,
        TestClient(site, base_url="http://127.0.0.1", raise_server_exceptions=False) as one,
    ):
        yield one


@contextmanager
def over_http(archive: Path, key: str = "", **changes: Any) -> Iterator[str]:
    """The address of a served archive."""
    config = ServeConfig(**{"index": archive, "model": shipped_model(), "device": "cpu"} | changes)
    with open_site(config, key) as site:
        server = uvicorn.Server(uvicorn.Config(site, host="127.0.0.1", port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        ends = time.monotonic() + 20
        while not server.started and time.monotonic() < ends:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def refusal(reply: Any, status: int) -> str:
    """The sentence of a refusal."""
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error"}
    sentence = str(reply.json()["error"])
    assert "/tmp" not in sentence
    assert "Traceback" not in sentence
    return sentence
