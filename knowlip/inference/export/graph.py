"""A module of PyTorch as an ONNX graph, compared with PyTorch before anybody gets it."""

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.base.progress import say
from knowlip.base.provenance import provenance

FORMAT: Final = 2
OPSET: Final = 18
TOLERANCE: Final = 1e-4
"""Largest difference between ONNX Runtime and PyTorch, in units of the output (1 for embeddings) or, where it is
larger, of the output's largest value."""
_ONE_FILE: Final = 1_800_000_000
"""Bytes of weights up to which a graph is one file: a protocol buffer ends at 2 GiB."""
_NEEDED: Final = ("onnx", "onnxscript", "onnxruntime")

Arrays = Sequence[np.ndarray]
Compare = Callable[[Arrays, Arrays], Mapping[str, float]]
"""Outputs of ONNX Runtime and of PyTorch -> how far they are from each other, by name."""


def check_packages() -> None:
    """Raise `ValueError` where a package is missing."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ValueError(f'Export needs {", ".join(missing)}: install it with `pip install "knowlip[export]"`.')


def versions() -> dict[str, str]:
    """Of everything that wrote the graphs."""
    return provenance()["versions"] | {name: version(name) for name in _NEEDED}


def write_graph(
    file: Path,
    module: nn.Module,
    example: Mapping[str, Tensor],
    sizes: Mapping[str, Any],
    outputs: Sequence[str],
    tests: Sequence[Mapping[str, Tensor]],
    compare: Compare | None = None,
) -> dict[str, Any]:
    """Export a module and compare it with PyTorch on `tests`; what `export.json` says of it.

    Args:
        file: to write.
        module: takes the tensors of `example` in their order.
        example: input by name.
        sizes: of each input the sides that may differ (`torch.export.Dim`), or None.
        outputs: names of what it gives.
        tests: inputs to compare on.
        compare: differences of one test; by default the largest of each output.

    Raises:
        ValueError: PyTorch cannot export it, or the graph computes something else.
    """
    # Written, then run beside PyTorch: a graph that computes something else would be found out by nobody later.
    say(f"exporting {file.name}")
    module.eval()
    weights = sum(tensor.nbytes for tensor in module.state_dict().values())
    with torch.inference_mode(False), torch.no_grad(), _quiet():
        try:
            torch.onnx.export(
                module,
                tuple(example.values()),
                str(file),
                dynamo=True,
                dynamic_shapes=tuple(sizes.values()),
                input_names=list(example),
                output_names=list(outputs),
                opset_version=OPSET,
                external_data=weights > _ONE_FILE,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ValueError(
                f"PyTorch {torch.__version__} cannot write {file.name} as ONNX ({_reason(error)}). Nothing was "
                "written; another encoder, or another version of PyTorch, may do."
            ) from error
    session = open_session(file)
    found: dict[str, float] = {}
    for test in tests:
        got = session.run(list(outputs), {name: tensor.numpy() for name, tensor in test.items()})
        with torch.inference_mode():
            want = module(*test.values())
        arrays = [one.numpy() for one in (want if isinstance(want, tuple) else (want,))]
        one = compare(got, arrays) if compare else largest_differences(file.name, outputs, got, arrays)
        found = {name: max(found.get(name, 0.0), value) for name, value in one.items()}
    check_differences(file.name, found)
    return {"file": file.name, **described(session), "difference": found}


def largest_differences(name: str, outputs: Sequence[str], got: Arrays, want: Arrays) -> dict[str, float]:
    """Largest difference of each output, as a share of its largest value where that is above 1.

    Raises:
        ValueError: an output has another shape.
    """
    found = {}
    for output, one, other in zip(outputs, got, want, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"{name} gives {output} the shape {one.shape} instead of {other.shape}.")
        found[output] = float(np.abs(one - other).max() / max(1.0, np.abs(other).max())) if other.size else 0.0
    return found


def check_differences(name: str, found: Mapping[str, float]) -> None:
    """Raise `ValueError` where one is above `TOLERANCE`."""
    worst = max(found, key=lambda output: found[output])
    if not found[worst] <= TOLERANCE:
        raise ValueError(
            f"{name} does not compute what the model does: {worst} differs by {found[worst]:.2g}, more than "
            f"{TOLERANCE:g}. Nothing was written; try another version of onnxscript or onnxruntime."
        )


def open_session(file: Path) -> Any:
    """A graph in ONNX Runtime, on the CPU."""
    return import_module("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"])


def described(session: Any) -> dict[str, Any]:
    """Names, types and shapes of a graph's inputs and outputs, as ONNX Runtime sees them; a side that may differ is a
    word."""
    return {
        side: {node.name: {"type": node.type[7:-1], "shape": node.shape} for node in nodes}
        for side, nodes in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }


def timed_ms(session: Any, inputs: Mapping[str, np.ndarray], times: int = 5) -> float:
    """Median milliseconds of a run, after one that does not count."""
    spent = []
    for _ in range(times + 1):
        began = time.perf_counter()
        session.run(None, dict(inputs))
        spent.append(1000 * (time.perf_counter() - began))
    return float(np.median(spent[1:]))


def speckled(sides: tuple[int, int], count: int, seed: int = 0) -> np.ndarray:
    """Test images (count, H, W) uint8: speckle, in every second one with bright bars."""
    rng = np.random.default_rng(seed)
    power = rng.exponential(1.0, (count, *sides))
    for one in power[1::2]:
        for _ in range(12):
            height, width = rng.integers(2, 3 + np.array(sides) // 6)
            y, x = (int(rng.integers(0, side - part)) for side, part in zip(sides, (height, width)))
            one[y : y + height, x : x + width] *= 30
    return np.clip(10 * np.log10(power + 1e-3) * 6 + 90, 1, 255).astype(np.uint8)


def _reason(error: Exception) -> str:
    """What went wrong below the exporter's own words."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0][:160]}" if lines else type(cause).__name__


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter prints its progress and warns of its own future."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
