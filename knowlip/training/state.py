"""The state of a training as whole tensors by name, whatever strategy and number of processes holds it.

A shard is put together on the first rank's CPU when it is read, and cut again when it is loaded, so that a training can
go on with another world size or strategy.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from knowlip.jobs.ranks import rank
from knowlip.models.knowlip import KnowLIP

State = dict[str, Tensor]


def whole_state(module: nn.Module) -> State:
    """Weights and buffers under their first names (shared ones have several), on the CPU.

    Every rank must call it; the first one gets the state, the others {}.
    """
    return {name: value for name, tensor in _tensors(module).items() if (value := _whole(tensor)) is not None}


def load_whole_state(module: nn.Module, state: State) -> None:
    """The reverse of :func:`whole_state`; every rank needs the state.

    Raises:
        ValueError: a tensor is missing, unknown or has another shape.
    """
    tensors = _tensors(module)
    if strange := sorted(tensors.keys() ^ state.keys()):
        raise ValueError(f"The checkpoint is of another model: {strange[0]} is only in one of the two.")
    for name, tensor in tensors.items():
        if tensor.shape != state[name].shape:
            raise ValueError(
                f"The checkpoint is of another model: {name} has shape {tuple(state[name].shape)} there and "
                f"{tuple(tensor.shape)} here."
            )
        _fill(tensor, state[name])


def whole_model(model: KnowLIP) -> KnowLIP | None:
    """The model in one piece on the first rank, None on the others; itself where nothing is sharded. Every rank must
    call it."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return model if rank() == 0 else None
    state = whole_state(model)
    if rank():
        return None
    whole = KnowLIP(model.config, model.tokenizer)
    load_whole_state(whole, state)
    return whole.to(model.device).eval()


def optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, State]:
    """The optimiser's state of each parameter by the parameter's name, like :func:`whole_state`."""
    result: dict[str, State] = {}
    for name, parameter in module.named_parameters():
        state = {key: _whole(value) for key, value in optimizer.state.get(parameter, {}).items()}
        if kept := {key: value for key, value in state.items() if value is not None}:
            result[name] = kept
    return result


def load_optimizer_state(module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, State]) -> None:
    """The reverse of :func:`optimizer_state`; every rank needs the state."""
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for name, parameter in module.named_parameters():
        if name not in state:
            continue
        own: dict[str, Any] = {}
        for key, value in state[name].items():
            if key == "step":  # a count; the fused optimiser wants it on the device
                own[key] = value.to(parameter.device if fused else "cpu", copy=True)
            else:
                own[key] = torch.empty_like(parameter, requires_grad=False)
                _fill(own[key], value)
        optimizer.state[parameter] = own


def local(tensor: Tensor) -> Tensor:
    """What of a tensor is in this process; it shares the memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _tensors(module: nn.Module) -> State:
    seen: set[int] = set()
    result = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            result[name] = tensor
    return result


@torch.no_grad()
def _whole(tensor: Tensor) -> Tensor | None:
    """The whole tensor on the first rank, None on the others. Every rank must call it for a sharded one."""
    whole = tensor.detach()
    if isinstance(whole, DTensor):
        whole = whole.full_tensor()
    return whole.cpu() if rank() == 0 else None


@torch.no_grad()
def _fill(tensor: Tensor, value: Tensor) -> None:
    """Copy a whole value into a tensor that may be a shard."""
    if isinstance(tensor, DTensor):
        value = value.to(device=tensor.device, dtype=tensor.dtype)
        shard = distribute_tensor(value, tensor.device_mesh, tensor.placements, src_data_rank=None)
        tensor.to_local().copy_(shard.to_local())
    else:
        tensor.copy_(value)
