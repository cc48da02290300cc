"""One scene and one archive for all tests of the page."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tests.inference.web.sites import archived, random_detector, simulated


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("scene") / "scenes")


@pytest.fixture(scope="session")
def archive(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archived(scene, tmp_path_factory.mktemp("archive") / "archive")


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_detector(tmp_path_factory.mktemp("detector") / "model")
