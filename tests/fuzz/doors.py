"""The doors: everything that KnowLIP reads of others. A new one is one entry of `DOORS`."""

import base64
import json
import os
import random
import shutil
import string
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import timm
import yaml
from PIL import Image
from safetensors.torch import save_file

from knowlip.annotators.audit import AuditConfig, the_sample
from knowlip.annotators.audit.page import Sheets, make_app
from knowlip.annotators.audit.store import Verdicts
from knowlip.cli import main
from knowlip.commands import COMMANDS
from knowlip.dataset import Dataset
from knowlip.dataset.export.run import FORMATS
from knowlip.inference.serve import make_endpoint
from knowlip.inference.settings import ServeConfig
from knowlip.models import load_model
from tests.annotators.openai_stub import Stub, answer, completion
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.benchmark import numbered
from tests.fuzz.frame import Door
from tests.fuzz.mutations import WORDS, spoil, spoil_bytes, spoil_one_of, spoil_value
from tests.inference.tiny_model import tiny_model
from tests.scenes.products import sentinel1
from tests.tiles.rasters import speckle, write_scene

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_LOADED = [
    COMMANDS[name].kind() and COMMANDS[name].module()
    for name in (
        *("scene info", "build", "dataset verify", "dataset stats", "dataset export", "dataset import", "annotate"),
        *("text check", "scio report", "pretrain", "ask", "caption", "convert", "dataset overlay", "bench leaderboard"),
    )
]
"""Imported before the children are forked, so that none of them takes that time."""


def _command(*words: str | Path) -> int:
    return main([str(word) for word in words])


def _pixels(seed: int, side: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (side, side), dtype=np.uint8)


# ---- scenes ---------------------------------------------------------------------------------------------------------


_SIZES = ("--windows_m", "[256,128,64]", "--tile_px", "32")


def _raster(folder: Path) -> None:
    tags = {"KNOWLIP_SENSOR": "sim-c", "KNOWLIP_BAND": "C", "KNOWLIP_UNITS": "amplitude"}
    write_scene(folder / "scene.tif", speckle((64, 64)), tags=tags)
    # The first build of a fresh checkout compiles (numba), for longer than a child may take on a busy machine.
    with tempfile.TemporaryDirectory() as once:
        words = ("build", "--scenes", folder, "--out", Path(once) / "out", *_SIZES)
        subprocess.run([sys.executable, "-m", "knowlip.cli", *words], check=True, capture_output=True)


def _enter_raster(folder: Path, out: Path, chance: random.Random) -> int:
    if chance.randrange(4):
        return _command("scene", "info", folder)
    return _command("build", "--scenes", folder, "--out", out, *_SIZES)


def _archive(folder: Path) -> None:
    product = sentinel1.make(folder / "product", polarisations=("VV",)).path
    with zipfile.ZipFile(folder / "product.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(product.rglob("*")):
            file.write(path, path.relative_to(product.parent))
    shutil.rmtree(folder / "product")


def _attack_archive(folder: Path, chance: random.Random) -> str:
    """The archive's bytes, or one of its members."""
    path = folder / "product.zip"
    if chance.randrange(3) == 0:
        return spoil(path, chance)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = chance.choice(sorted(name for name in members if not name.endswith("/")))
    kind = chance.choice(("bytes", "name", "bomb", "many", "gone"))
    data = members.pop(name)
    if kind == "bytes":
        members[name] = spoil_bytes(data, chance)
    elif kind == "name":
        members[chance.choice(("../../outside", "/outside", "a\\b", name.upper(), "\u00fc", "x" * 300))] = data
    elif kind == "bomb":
        members[name] = b" " * (1 << 26)
    elif kind == "many":
        members |= {name: data, **{f"{name}{number}": b"<a>" for number in range(3000)}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(member, content)
    return f"{name}: {kind}"


# ---- maps of one's own, rows of others ------------------------------------------------------------------------------


def _maps(folder: Path) -> None:
    scenes = write_scene(folder / "scenes" / "scene.tif", speckle((64, 64)), tags={"KNOWLIP_UNITS": "amplitude"})
    words = ("build", "--scenes", scenes, "--out", folder / "ds", *_SIZES, "--quality.min_good", "0")
    subprocess.run([sys.executable, "-m", "knowlip.cli", *map(str, words)], check=True, capture_output=True)
    shutil.rmtree(folder / "scenes")
    write_scene(folder / "cover.tif", np.full((70, 70), 3, np.uint8), nodata=0)
    frame = geopandas.GeoDataFrame(
        {"category": ["ship"]}, geometry=[shapely.box(600_040, 5_749_900, 600_072, 5_749_920)], crs=32631
    )
    frame.to_file(folder / "ships.gpkg", driver="GPKG")
    frame.to_crs(4326).to_file(folder / "ships.geojson", driver="GeoJSON")


def _attack_maps(folder: Path, chance: random.Random) -> str:
    name = chance.choice(("cover.tif", "ships.gpkg", "ships.geojson", "ships.geojson"))
    return f"{name}: {spoil(folder / name, chance)}"


def _enter_maps(folder: Path, out: Path, chance: random.Random) -> int:
    # Labels are written into the data set: one of the output's own, as nothing may change beside it.
    shutil.copytree(folder / "ds", out)
    words = [("--masks", folder / "cover.tif", "--mask_classes", "[3=water]")]
    words += [("--objects", folder / name) for name in ("ships.gpkg", "ships.geojson", "ships.geojson")]
    return _command("dataset", "overlay", out, *chance.choice(words))


def _rows(folder: Path) -> None:
    shutil.copy(RESULTS / "vision.json", folder / "vision.json")
    shutil.copy(RESULTS / "audit.json", folder / "audit.json")


def _enter_rows(folder: Path, out: Path, chance: random.Random) -> int:
    return _command("bench", "leaderboard", *sorted(folder.glob("*.json")), "--out", out)


# ---- labelled sets --------------------------------------------------------------------------------------------------


def _images(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(_pixels(number)).save(folder / f"i{number}.png")


def _voc(folder: Path) -> None:
    _images(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    for number in range(3):
        (folder / "Annotations" / f"i{number}.xml").write_text(
            "<annotation><size><width>48</width><height>48</height><depth>1</depth></size><object><name>ship</name>"
            "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>20</xmax><ymax>22</ymax></bndbox></object></annotation>"
        )


def _coco(folder: Path) -> None:
    _images(folder / "images")
    document = {
        "images": [{"id": n, "file_name": f"i{n}.png", "width": 48, "height": 48} for n in range(3)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [4, 5, 10, 12], "segmentation": [[4, 5, 14, 5, 14, 17]]}
            for n in range(3)
        ],
        "categories": [{"id": 1, "name": "ship"}],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(document))


def _yolo(folder: Path) -> None:
    _images(folder / "images" / "train")
    (folder / "labels" / "train").mkdir(parents=True)
    for number in range(3):
        (folder / "labels" / "train" / f"i{number}.txt").write_text("0 0.5 0.5 0.2 0.3\n")
    (folder / "data.yaml").write_text("train: images/train\nnames: [ship]\n")


def _dota(folder: Path) -> None:
    _images(folder / "images")
    (folder / "labelTxt").mkdir()
    for number in range(3):
        (folder / "labelTxt" / f"i{number}.txt").write_text("gsd:0.5\n5 5 20 5 20 22 5 22 ship 0\n")


def _classes(folder: Path) -> None:
    _images(folder / "ship")
    (folder / "bridge").mkdir()
    Image.fromarray(_pixels(9)).save(folder / "bridge" / "b.png")


def _masks(folder: Path) -> None:
    _images(folder / "images")
    (folder / "masks").mkdir()
    for number in range(3):
        Image.fromarray(_pixels(number) % 3).save(folder / "masks" / f"i{number}.png")


SETS: dict[str, Callable[[Path], None]] = {
    "voc": _voc,
    "coco": _coco,
    "yolo": _yolo,
    "dota": _dota,
    "folder": _classes,
    "mask": _masks,
}


def _enter_labels(format: str, folder: Path, out: Path, chance: random.Random) -> int:
    return _command("dataset", "import", folder, "--format", format, "--out", out)


# ---- settings, texts, models ----------------------------------------------------------------------------------------


def _settings(folder: Path) -> None:
    sections = {
        "base": "demo",
        "build": {"tile_px": 64, "windows_m": [256.0, 128.0, 64.0]},
        "pretrain": {"batch_size": 8, "stage_epochs": [1, 1, 1], "model": {"text": {"width": 64}}},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(sections))
    (folder / "build.yaml").write_text(yaml.safe_dump(sections["build"]))


def _enter_settings(folder: Path, out: Path, chance: random.Random) -> int:
    none = folder / "none"
    if chance.randrange(2):
        return _command("build", "--config", folder / "build.yaml", "--scenes", none, "--out", out)
    return _command("pretrain", "--recipe", folder / "recipe.yaml", "--dataset", none, "--out", out)


def _model(folder: Path) -> None:
    tiny_model(folder / "model")
    Image.fromarray(_pixels(1, 32)).save(folder / "image.png")


def _enter_model(folder: Path, out: Path, chance: random.Random) -> int:
    return _command("ask", folder / "image.png", "How many ships?", "--model", folder / "model", "--device", "cpu")


def _enter_picture(folder: Path, out: Path, chance: random.Random) -> int:
    return _command("caption", folder / "image.png", "--model", folder / "model", "--device", "cpu")


def _attack_question(folder: Path, chance: random.Random) -> str:
    return "question"


def _enter_question(folder: Path, out: Path, chance: random.Random) -> int:
    letters = (*WORDS, "\ud800", "\udfff", "[MASK]", "[" * 200, "\n", " ", "How many ships?", "\U0001f6f0", "a" * 3000)
    question = "".join(chance.choice(letters) for _ in range(chance.randrange(5)))
    return _command("ask", folder / "image.png", question, "--model", folder / "model", "--device", "cpu")


def _weights(folder: Path) -> None:
    """A ViT as timm saves it; the text tower has no weights here."""
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 1}
    tower = timm.create_model("vit_tiny_patch16_224", **sizes)
    save_file({name: tensor.contiguous() for name, tensor in tower.state_dict().items()}, folder / "w.safetensors")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    (folder / "vocab.txt").write_text("\n".join(tokens))


def _enter_weights(folder: Path, out: Path, chance: random.Random) -> int:
    return _command("convert", folder / "w.safetensors", "--vision_heads", "1", "--out", out)


# ---- data sets, pages, servers --------------------------------------------------------------------------------------


def _dataset(folder: Path) -> None:
    numbered.build(folder / "ds")


def _enter_dataset(folder: Path, out: Path, chance: random.Random) -> int:
    data = folder / "ds"
    kind = chance.randrange(5)
    if kind == 0:
        return _command("dataset", "verify", data)
    if kind == 1:
        return _command("dataset", "stats", data, "--out", out)
    if kind == 2:
        return _command("scio", "report", data, "--out", out)
    if kind == 3:
        return _command("text", "check", data)
    return _command("dataset", "export", data, "--format", chance.choice(sorted(FORMATS)), "--out", out)


def _unannotated(folder: Path) -> None:
    build_tiny_dataset(folder / "ds")
    _, body, _ = completion(answer())
    (folder / "answer.json").write_text(json.dumps(body))
    (folder / "content.json").write_text(answer())


def _attack_answer(folder: Path, chance: random.Random) -> str:
    """What the server sends, or the text in it."""
    return spoil(folder / chance.choice(("answer.json", "content.json")), chance)


def _start_of(path: Path) -> bytes:
    """What the server has to send; of a hole the first of it."""
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(1 << 18)


def _enter_answer(folder: Path, out: Path, chance: random.Random) -> int:
    os.environ["OPENAI_API_KEY"] = "sk-none"
    raw, text = _start_of(folder / "answer.json"), _start_of(folder / "content.json").decode(errors="replace")
    sound = completion(answer())[1]
    if isinstance(sound, dict) and raw == json.dumps(sound).encode():
        raw = json.dumps(completion(text)[1]).encode()
    reply = (chance.choice((*(200,) * 8, 500, 429, 404)), raw.decode("latin-1"), {})
    with Stub(lambda body, number: reply) as server:
        options = ("--openai.retries", "0", "--openai.timeout_s", "2", "--concurrency", "2")
        return _command(
            *("annotate", "--dataset", folder / "ds", "--annotator", "openai"),
            *("--model", "stub", "--base_url", server.url),
            *options,
        )


def _enter_page(folder: Path, out: Path, chance: random.Random) -> int:
    """Requests that a page of this machine gets from anybody who can reach it."""
    from fastapi.testclient import TestClient

    data, config = Dataset(folder / "ds"), AuditConfig(folder / "ds", out=out, at_least=2)
    sample = the_sample(data, data.revisions()[-1], out / "sample.json", config)
    client = TestClient(make_app(Sheets(data, sample), Verdicts(out / "verdicts.jsonl")), base_url="http://127.0.0.1")
    sound: dict[str, Any] = {"rater": "ada", "tile_id": sample.tiles[0], "slot": 1, "verdict": "right", "note": "n"}
    for _ in range(5):
        path = chance.choice(("/verdict", "/note", "/undo", "/tile", "/image/", "/", "/coastline")) + chance.choice(
            ("", "", "?rater=ada", "?rater=%ff&at=-1", "../../etc/passwd", "t0", "?at=1e999&rater=ada&after=x")
        )
        body = json.dumps(spoil_value(sound, chance)).encode()
        body = spoil_bytes(body, chance) if chance.randrange(2) else body
        headers = {"content-type": chance.choice(("application/json", "text/plain", "")), "host": "127.0.0.1"}
        answered = client.request(chance.choice(("GET", "POST")), path, content=body, headers=headers)
        if answered.status_code >= 500:
            raise AssertionError(f"{path} {body[:200]!r} was answered {answered.status_code}: {answered.text[:200]}")
    Verdicts(out / "verdicts.jsonl")
    return 0


def _enter_chat(folder: Path, out: Path, chance: random.Random) -> int:
    """Requests that the endpoint of a model gets from anybody."""
    from fastapi.testclient import TestClient

    model = load_model(folder / "model", "cpu")
    app = make_endpoint(model, ServeConfig(openai=True, max_body_mb=1.0, max_megapixels=4.0))
    asking = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    picture = (folder / "image.png").read_bytes()
    for _ in range(5):
        data = spoil_bytes(picture, chance) if chance.randrange(3) == 0 else picture
        url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        content = [{"type": "text", "text": chance.choice((*WORDS, "[MASK] " * 9, "How many ships?"))}]
        content.append({"type": "image_url", "image_url": {"url": chance.choice((url, url, url, *WORDS))}})
        sound: dict[str, Any] = {
            **{"model": "knowlip", "messages": [{"role": "user", "content": content}], "n": 1, "seed": 3},
            **{"temperature": 0.5, "top_p": 0.9, "max_tokens": 8, "stream": False, "metres_per_pixel": 3.0},
        }
        asked = spoil_value(sound, chance) if chance.randrange(2) else sound
        body = json.dumps(asked).encode()
        body = spoil_bytes(body, chance) if chance.randrange(4) == 0 else body
        headers = {"content-type": chance.choice((*("application/json",) * 6, "text/plain", ""))}
        answered = asking.post("/v1/chat/completions", content=body, headers=headers)
        if answered.status_code >= 500 or (answered.status_code >= 400 and not answered.json()["error"]["message"]):
            raise AssertionError(f"{body[:200]!r} was answered {answered.status_code}: {answered.text[:200]}")
    return 0


def _attack_page(folder: Path, chance: random.Random) -> str:
    return "requests"


_one_of = partial(spoil_one_of, times=2)

DOORS: tuple[Door, ...] = (
    Door("raster", _raster, _one_of, _enter_raster),
    Door("archive", _archive, _attack_archive, lambda folder, out, chance: _command("scene", "info", folder)),
    Door("maps", _maps, _attack_maps, _enter_maps),
    Door("rows", _rows, _one_of, _enter_rows),
    *(Door(f"labels {name}", make, _one_of, partial(_enter_labels, name)) for name, make in SETS.items()),
    Door("settings", _settings, _one_of, _enter_settings),
    Door("model folder", _model, lambda folder, chance: spoil_one_of(folder / "model", chance), _enter_model),
    Door("picture", _model, lambda folder, chance: spoil(folder / "image.png", chance), _enter_picture),
    Door("question", _model, _attack_question, _enter_question),
    Door("weights", _weights, _one_of, _enter_weights),
    Door("data set", _dataset, _one_of, _enter_dataset),
    Door("server answer", _unannotated, _attack_answer, _enter_answer),
    Door("web request", _dataset, _attack_page, _enter_page),
    Door("chat request", _model, _attack_page, _enter_chat),
)
