"""Where and how a training computes: devices, processes, precision, sharding. The loop does not know the difference.

Built on Lightning Fabric. DDP keeps a copy of everything in every process; FSDP (the second of PyTorch's,
`fully_shard`) keeps a part of every weight and puts weights together while they are needed.
"""

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from knowlip.jobs.launch import launched
from knowlip.training.layers import layer_shares
from knowlip.training.settings import EngineConfig
from knowlip.training.state import local

_PATIENCE = timedelta(days=2)
"""How long a process waits for another: one of them scores and rewrites the texts of a whole data set."""
_COMPILED_VARIANTS = 64
"""Variants of a compiled layer (with image, without gradient, causal, ...) that torch may compile."""


FREE_ENGINE = ("accelerator", "devices", "num_nodes", "strategy", "compile", "checkpoint_activations")
"""Settings that may differ between a run and its continuation."""


def processes(config: EngineConfig) -> int:
    """How many processes of this machine the settings ask for.

    Raises:
        ValueError: none, or several machines without torchrun.
    """
    if config.num_nodes > 1 and not launched():
        raise ValueError("num_nodes above 1 needs torchrun (or Slurm's srun) on every machine: see docs/training.md.")
    if config.devices == -1:
        return max(1, torch.cuda.device_count())
    if config.devices < 1:
        raise ValueError("devices must be 1 or more, or -1 for all GPUs.")
    return config.devices


def check_engine(config: EngineConfig, batch_size: int, smallest: int) -> None:
    """Refuse what cannot work before anything is loaded.

    Raises:
        ValueError: the batch cannot be divided, or its parts hold fewer than `smallest` items.
    """
    world = int(os.environ["WORLD_SIZE"]) if launched() else processes(config)
    if config.accumulate < 1:
        raise ValueError("accumulate must be at least 1.")
    if config.optimizer not in ("adamw", "sgd") or not 0 <= config.momentum < 1:
        raise ValueError("optimizer must be adamw or sgd, and momentum from 0 up to but below 1.")
    if not 0 <= config.beta2 < 1:
        raise ValueError(f"beta2 must be from 0 up to but below 1, not {config.beta2}.")
    if batch_size % (world * config.accumulate):
        raise ValueError(
            f"batch_size {batch_size} counts the pairs of all processes together and must be a multiple of "
            f"{world} processes x {config.accumulate} passes."
        )
    if batch_size // (world * config.accumulate) < smallest:
        raise ValueError(
            f"batch_size {batch_size} leaves {batch_size // (world * config.accumulate)} for each of {world} processes "
            f"x {config.accumulate} passes: {smallest} at least are needed."
        )


class Engine:
    """The processes of one training, seen from one of them.

    Args:
        config: settings. More than one process must have been launched (:mod:`knowlip.jobs.launch`, torchrun).
        unused: some weights get no gradient, so DDP must look for them in every step.
    """

    def __init__(self, config: EngineConfig, unused: bool = False) -> None:
        self.config = config
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        external = launched()
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if external else 1
        nodes = int(os.environ["WORLD_SIZE"]) // devices if external else 1
        several = devices * nodes > 1
        self.sharded = several and config.strategy == "fsdp"
        plugins: list[Any] = [TorchElasticEnvironment()] if several else []
        device_type = _device_type(config.accelerator)
        if config.precision != "fp32":
            plugins.append(_Autocast("bf16-mixed" if config.precision == "bf16" else "16-mixed", device_type))
        self.fabric = Fabric(
            accelerator=config.accelerator,
            devices=devices,
            num_nodes=nodes,
            plugins=plugins,
            strategy=self._strategy(devices * nodes, unused) if several else "auto",
        )
        self.fabric.launch()
        if several and self.fabric.device.type == "cpu":
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices))
        self.rank, self.world, self.device = self.fabric.global_rank, self.fabric.world_size, self.fabric.device
        self.optimizer: torch.optim.Optimizer

    def _strategy(self, world: int, unused: bool) -> DDPStrategy | ModelParallelStrategy:
        if self.sharded:
            return ModelParallelStrategy(_shard, data_parallel_size=world, tensor_parallel_size=1, timeout=_PATIENCE)
        # The queue is the same in every process already. (torch 2.15 has another word for the switch.)
        known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        switch = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {"gradient_as_bucket_view": True, "find_unused_parameters": unused, switch: False}
        return DDPStrategy(timeout=_PATIENCE, **options)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs the block before the others do: what it caches, they find."""
        if not self.first:
            self.fabric.barrier()
        yield
        if self.first:
            self.fabric.barrier()

    # ---- setting up -------------------------------------------------------------------------------------------------

    def setup(self, module: nn.Module, learning_rate: float, weight_decay: float) -> nn.Module:
        """Move, shard and compile a module and make its optimiser.

        Args:
            module: calculates losses in `forward`.
            learning_rate: the highest.
            weight_decay: on matrices only, not on temperature, biases and norms.
        """
        config = self.config
        if config.compile:
            compile_blocks(module)
        self.module = module
        stepper = self.fabric.setup_module(module)
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        fused = config.precision != "fp16" and self.device.type in ("cuda", "cpu")  # fused ones cannot be clipped
        shares = layer_shares(
            [name for name, one in module.named_parameters() if one.requires_grad], config.layer_decay
        )
        groups = decay_groups(self.parameters, weight_decay, list(shares.values()))
        if config.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(groups, lr=learning_rate, momentum=config.momentum, fused=fused)
        else:
            self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, config.beta2), fused=fused)
        self._scaled: Any = self.fabric.setup_optimizers(self.optimizer)
        self.stepper: nn.Module = stepper
        return stepper

    # ---- a step -----------------------------------------------------------------------------------------------------

    def no_sync(self, last: bool) -> AbstractContextManager[Any]:
        """Around a pass: gradients travel between processes only in the last one of a step."""
        return nullcontext() if last or self.world == 1 else self.fabric.no_backward_sync(self.stepper)  # type: ignore[arg-type]

    def backward(self, loss: Tensor) -> None:
        """Gradients of one pass, of `accumulate` that are averaged."""
        self.fabric.backward(loss / self.config.accumulate)

    def step(self, learning_rate: float, weight_decay: float | None = None) -> Tensor:
        """Clip, step the optimiser, clear gradients. Nothing here waits for the device.

        Args:
            learning_rate: of the step.
            weight_decay: of matrices, where it is not that of the setup.

        Returns:
            The gradient norm before clipping, a scalar; not finite where fp16 overflowed, and then nothing is changed.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["share"]
            if weight_decay is not None and group["decays"]:
                group["weight_decay"] = weight_decay
        if self.sharded:
            for parameter in self.parameters:  # scalars are not sharded, so nobody has averaged them
                if not isinstance(parameter, DTensor) and parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.world
        self.fabric.strategy.precision.unscale_gradients(self.optimizer)
        norm = clip_gradients(self.parameters, self.config.clip_gradient)
        self._scaled.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def mean(self, values: Tensor) -> list[float]:
        """Mean of a vector over all processes, read by the CPU: this waits for the device."""
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return [float(value) for value in values.tolist()]

    def largest(self, values: Sequence[int]) -> list[int]:
        """The largest of each of some integers over all processes."""
        found = torch.tensor([int(value) for value in values], dtype=torch.int64, device=self.device)
        if self.world > 1:
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return [int(value) for value in found.tolist()]

    # ---- state ------------------------------------------------------------------------------------------------------

    def precision_state(self) -> dict[str, Any]:
        """Scale of fp16 gradients; {} for other precisions."""
        return self.fabric.strategy.precision.state_dict()

    def load_precision_state(self, state: dict[str, Any]) -> None:
        if state:
            self.fabric.strategy.precision.load_state_dict(state)


class _Autocast(MixedPrecision):
    """Mixed precision that leaves inputs as they are: uniform numbers in bf16 would not be uniform any more."""

    def convert_input(self, data: Any) -> Any:
        return data


def _device_type(accelerator: str) -> str:
    if accelerator in ("cuda", "gpu") or (accelerator == "auto" and torch.cuda.is_available()):
        return "cuda"
    return "cpu" if accelerator == "auto" else accelerator


def _shard(module: nn.Module, mesh: Any) -> nn.Module:
    """FSDP at the root, because shared weights are used outside of layers' `forward`, and in every block of a ViT.

    Scalars (the temperature) cannot be sharded: every process holds them.
    """
    from torch.distributed.fsdp import fully_shard

    mesh = mesh["data_parallel"]
    for name, block in module.named_modules():
        if name.rpartition(".")[0].endswith("visual_encoder.blocks"):
            fully_shard(block, mesh=mesh)
    scalars = {parameter for parameter in module.parameters() if parameter.ndim == 0}
    for scalar in scalars:
        scalar.data = scalar.data.to(_mesh_device(mesh))
    for buffer in module.buffers():
        buffer.data = buffer.data.to(_mesh_device(mesh))
    fully_shard(module, mesh=mesh, ignored_params=scalars)
    return module


def _mesh_device(mesh: Any) -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if mesh.device_type == "cuda" else torch.device("cpu")


def compile_blocks(module: nn.Module) -> None:
    """Compile every block of the towers by itself: blocks are alike, so one compilation serves all of them."""
    torch._dynamo.config.recompile_limit = _COMPILED_VARIANTS
    for name, block in module.named_modules():
        if name.rpartition(".")[0].endswith(("visual_encoder.blocks", "encoder.layer")):
            block.compile()


def decay_groups(
    parameters: list[nn.Parameter], weight_decay: float, shares: Sequence[float] | None = None
) -> list[dict[str, Any]]:
    """Weight decay on matrices only; sharded and whole parameters apart, because one kernel cannot take both.

    Args:
        parameters: what learns.
        weight_decay: of matrices.
        shares: of the learning rate, of each parameter; 1 where not given.
    """
    groups: list[dict[str, Any]] = []
    rules: list[tuple[Callable[[Tensor], bool], bool]] = [
        (lambda p: p.ndim >= 2, True),
        (lambda p: p.ndim == 1, False),
        (lambda p: p.ndim == 0, False),
    ]
    given = [1.0] * len(parameters) if shares is None else list(shares)
    for belongs, decays in rules:
        for share in dict.fromkeys(given):
            chosen = [one for one, of_one in zip(parameters, given, strict=True) if of_one == share and belongs(one)]
            if chosen:
                decay = weight_decay if decays else 0.0
                groups.append({"params": chosen, "weight_decay": decay, "share": share, "decays": decays})
    return groups


@torch.no_grad()
def clip_gradients(parameters: list[nn.Parameter], largest: float) -> Tensor:
    """Scale gradients so that the norm of all of them together is at most `largest` (0: leave them).

    Returns:
        The norm before, a scalar that is the same in every process.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    parts = [local(gradient) for gradient in gradients]
    sharded = [part for part, gradient in zip(parts, gradients) if isinstance(gradient, DTensor)]
    whole = [part for part, gradient in zip(parts, gradients) if not isinstance(gradient, DTensor)]
    square = _square(whole, parts[0].device)
    if sharded:
        others = _square(sharded, parts[0].device)
        dist.all_reduce(others)
        square = square + others
    norm = square.sqrt()
    if largest:
        torch._foreach_mul_(parts, (largest / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _square(tensors: list[Tensor], device: torch.device) -> Tensor:
    """Sum of squares of all elements."""
    if not tensors:
        return torch.zeros((), device=device)
    return torch.stack(torch._foreach_norm(tensors)).float().square().sum()
