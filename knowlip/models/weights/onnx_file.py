"""Weights of an ONNX file under the names that they had in PyTorch. The graph is read, never run.

PyTorch's exporter keeps the names of most tensors. It stores the weight of a linear layer transposed and nameless
(`onnx::MatMul_1966`), and position embeddings that are interpolated in two nameless parts. What the graph does with
them says which they are: a product to which `x.bias` is added is of `x.weight`. What has no name in the end keeps the
file's, and whoever fills a model from it has to account for it.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlip.base.files import regular_file

_LARGEST = 2**31 - 1
"""Bytes; a protocol buffer is no longer."""
_CONSTANT = 8
"""Numbers in a constant of the graph that may be a shape, a scale or an epsilon; one of more is a weight."""
_CARRIES = ("Reshape", "Transpose", "Cast", "Resize")
"""What an exporter puts between position embeddings and their use."""


@dataclass
class OnnxWeights:
    """What an ONNX file holds."""

    state: dict[str, Tensor] = field(default_factory=dict)
    """Every tensor of floating point, float32, as PyTorch lays it out."""
    beside: list[str] = field(default_factory=list)
    """Other tensors of more than a few numbers (integers)."""
    notes: list[str] = field(default_factory=list)
    """What was recovered, for people."""


def read_onnx(path: Path) -> OnnxWeights:
    """Read the weights of an ONNX file. Nothing but this file is opened.

    Args:
        path: a file of at most 2 GiB.

    Raises:
        ValueError: the package `onnx` is missing, the file is too large or broken, its tensors lie in other files, or
            its graph has branches, whose tensors are not read.
    """
    if find_spec("onnx") is None:
        raise ValueError('ONNX files need onnx: install it with `pip install "knowlip[export]"`.')
    if regular_file(path).stat().st_size > _LARGEST:
        raise ValueError(f"{path} is larger than 2 GiB: save its weights as safetensors.")
    onnx = import_module("onnx")
    try:
        model = onnx.load_model_from_string(path.read_bytes())  # opens no other file
    except import_module("google.protobuf.message").DecodeError:
        raise ValueError(f"{path} is no ONNX file.") from None
    protos = dict(_tensors(onnx, model, path))
    found, arrays = OnnxWeights(), {}
    for name, proto in protos.items():
        if proto.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
            found.beside.append(name)
            continue
        try:
            array = onnx.numpy_helper.to_array(proto)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: {name} is broken ({error}).") from None
        # numpy has no bfloat16 of its own: the type of the file tells, not that of the array.
        if proto.data_type in (getattr(onnx.TensorProto, kind) for kind in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")):
            arrays[name] = array.astype(np.float32)
        else:
            found.beside.append(name)
    found.state, found.notes = _named(model.graph, arrays, path)
    return found


def _tensors(onnx: Any, model: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Initializers, and constants of more than a few numbers, by name."""
    if model.graph.sparse_initializer:
        raise ValueError(f"{path} has sparse tensors: save it with dense ones.")
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    protos = [(proto.name, proto) for proto in model.graph.initializer]
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise ValueError(f"{path} has a graph with branches ({node.op_type}): export the model without them.")
            held = [attribute.t] if attribute.type == onnx.AttributeProto.TENSOR else attribute.tensors
            name = node.output[0] if node.op_type == "Constant" and node.output else f"{node.name}.{attribute.name}"
            protos += [(name, proto) for proto in held if np.prod(proto.dims, dtype=float) > _CONSTANT]
    for name, proto in protos:
        if proto.data_location == onnx.TensorProto.EXTERNAL or proto.external_data:
            raise ValueError(f"{path} keeps its tensors in other files, first {name}: save it as one file.")
        yield name, proto


def _named(graph: Any, arrays: dict[str, np.ndarray], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under PyTorch's names, and what was done to find them."""
    users, makers = defaultdict(list), {}
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
        for name in node.output:
            makers[name] = node
    linear: dict[str, str] = {}
    parts: dict[str, tuple[str, str]] = {}
    for node in graph.node:
        if node.op_type == "MatMul" and _nameless(node.input[1]) and arrays.get(node.input[1], np.empty(0)).ndim == 2:
            for name in _biases(node, users, arrays):
                if linear.setdefault(name, node.input[1]) != node.input[1]:
                    raise ValueError(f"{path}: two weights belong to {name}, whose bias they share: save it unshared.")
        elif node.op_type == "Concat" and len(node.input) == 2:
            first, second = node.input[0], _origin(node.input[1], makers)
            if all(_nameless(part) and arrays.get(part, np.empty(0)).ndim == 3 for part in (first, second)):
                # The exporter names a node by its module: /backbone/embeddings/Concat_6.
                module = ".".join(node.name.strip("/").split("/")[:-1])
                parts[f"{module}.position_embeddings".lstrip(".")] = first, second
    used = {*linear.values(), *(part for pair in parts.values() for part in pair)}
    state = {name: torch.tensor(array) for name, array in arrays.items() if name not in used}
    new = {name: torch.tensor(arrays[theirs].T.copy()) for name, theirs in linear.items()}
    new |= {name: torch.cat([torch.tensor(arrays[part]) for part in pair], 1) for name, pair in parts.items()}
    if twice := state.keys() & new.keys():
        raise ValueError(f"{path}: {min(twice)} is there and stands for another tensor too.")
    notes = [f"{len(linear)} weights of linear layers were nameless: named by their biases."] if linear else []
    notes += [f"{name} was nameless, in two parts: named by its use." for name in parts]
    return state | new, notes


def _biases(node: Any, users: dict[str, list[Any]], arrays: dict[str, np.ndarray]) -> Iterator[str]:
    """Names of a nameless weight, from the biases that are added to its product."""
    for user in users[node.output[0]]:
        for name in user.input if user.op_type == "Add" else ():
            if name in arrays and arrays[name].ndim == 1 and name.endswith(".bias"):
                yield f"{name.removesuffix('bias')}weight"


def _origin(name: str, makers: dict[str, Any]) -> str:
    """Back through what only changes the shape."""
    while name in makers and makers[name].op_type in _CARRIES:
        name = makers[name].input[0]
    return name


def _nameless(name: str) -> bool:
    return "::" in name
