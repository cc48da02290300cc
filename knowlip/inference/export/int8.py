"""Graphs with weights of 8 bit, by ONNX Runtime's quantisation.

Weights are scaled channel by channel. Products of two activations (attention) stay in float: they hold no weights.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

_LINEAR: Final = ["MatMul", "Gemm"]
_ALL: Final = [*_LINEAR, "Conv"]
Inputs = Mapping[str, np.ndarray]


def write_int8(file: Path, out: Path, shown: Iterable[Inputs] | None) -> None:
    """Quantise a graph.

    Args:
        file: the graph in float.
        out: to write.
        shown: inputs from which the scales of activations are taken (static; convolutions are quantised too); None for
            scales that are taken anew with every input (dynamic; linear layers alone).

    Raises:
        ValueError: ONNX Runtime cannot quantise it, or it has more than 2 GiB.
    """
    onnx, quantise = import_module("onnx"), import_module("onnxruntime.quantization")
    if file.with_name(file.name + ".data").exists():
        raise ValueError(f"{file.name} has weights of more than 2 GiB, which --int8 does not take.")
    options = {"per_channel": True, "extra_options": {"MatMulConstBOnly": True}}
    with tempfile.TemporaryDirectory(dir=out.parent) as folder, _silent():
        bare = Path(folder) / "bare.onnx"
        # What the exporter notes of shapes in between is not always what is there after its own optimisation.
        graph = onnx.load(str(file))
        del graph.graph.value_info[:]
        onnx.save(graph, str(bare))
        try:
            if shown is None:
                quantise.quantize_dynamic(str(bare), str(out), op_types_to_quantize=_LINEAR, **options)
            else:
                reader = _reader(quantise.CalibrationDataReader, shown)
                quantise.quantize_static(str(bare), str(out), reader, op_types_to_quantize=_ALL, **options)
        except (RuntimeError, ValueError, KeyError, TypeError, onnx.shape_inference.InferenceError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"ONNX Runtime cannot quantise {file.name} ({first[:200]}).") from error


def _reader(base: Any, shown: Iterable[Inputs]) -> Any:
    """What ONNX Runtime asks for the next input until there is none."""

    class Shown(base):
        def __init__(self) -> None:
            self.rest: Iterator[Inputs] = iter(shown)

        def get_next(self) -> dict[str, np.ndarray] | None:
            one = next(self.rest, None)
            return None if one is None else dict(one)

    return Shown()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """It warns that a graph was not preprocessed, which ours needs not."""
    logger = logging.getLogger()
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
