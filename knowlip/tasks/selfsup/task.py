"""What all self-supervised methods share: the tiles, their views, the tower, the folder that is left behind.

A method is one file of this folder: a module that computes losses from a :class:`TileViews`, and a subclass of
:class:`SelfSupervision` that says how views are made and, where it wants, draws what its module says of hidden patches.
"""

from abc import abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.base.documents import read_json
from knowlip.base.files import sha256, write_json
from knowlip.base.progress import say
from knowlip.base.provenance import provenance
from knowlip.dataset import Dataset
from knowlip.models.card import ModelCard
from knowlip.models.knowlip import KnowLIP
from knowlip.models.patch_decoder import xavier_tower
from knowlip.models.vision_model import Pool, VisionModel, save_vision
from knowlip.models.weights import InitConfig, initialise
from knowlip.models.weights.ledger import describe, for_card
from knowlip.tasks.chips import ChipWindow, chip_roots, load_chips
from knowlip.tasks.selfsup.learned import cautions
from knowlip.tasks.selfsup.seen import SeenTiles, seen_card
from knowlip.tasks.selfsup.settings import SelfSupConfig
from knowlip.tasks.selfsup.watch import Watch
from knowlip.training.augment import GreyScale
from knowlip.training.engine import Engine
from knowlip.training.loop import run_name
from knowlip.training.order import Order, dealt
from knowlip.training.resume import read_log
from knowlip.training.state import whole_state
from knowlip.training.task import Task, prefetched
from knowlip.training.views import ViewMaker

Module = TypeVar("Module", bound=nn.Module)
MODEL = "model"
"""Folder of a run: the tower."""
_WEIGHTS = "weights.json"
"""Of a run: what it started from."""


@dataclass
class TileViews:
    """A process's share of a pass."""

    tiles: Tensor
    """(B, P, P) uint8 as they are kept; 0 is no data."""
    scale: GreyScale
    seed_B: Tensor
    """Chance of everything that happens to each tile."""
    hidden_GBN: Tensor | None = None
    """Which patches of the global views the student does not see, of methods that draw them on the CPU."""
    images: list[Tensor] = field(default_factory=list)
    """TileViews (B, S, S) uint8, made on the device."""


class SelfSupervision(Task[TileViews], Generic[Module]):
    """Tiles without labels for the training loop."""

    free: ClassVar = ("workers", "cache", "knn_every", "knn_tiles", "neighbours", "pictures")
    pairs: ClassVar = "images"
    pool: ClassVar[Pool] = "token"
    """What stands for an image, where the settings do not say."""
    module: Module

    def __init__(self, config: SelfSupConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.dataset, self.cache = Dataset(config.dataset), config.cache or config.out / "cache"
        self.seen = SeenTiles.of(self.dataset, config, self.cache)
        self.model = VisionModel(config.vision, config.pool or self.pool, config.positions)
        self.weights: Mapping[str, Any] = {}
        if config.starts_random:
            xavier_tower(self.model.visual_encoder)
        elif not (config.out / "checkpoint.pt").is_file():
            start = InitConfig(vision=config.init, vision_mean=config.init_mean, vision_std=config.init_std)
            self.weights = initialise(cast(KnowLIP, self.model), start)  # it has what the image tower needs
        self.model.visual_encoder.set_grad_checkpointing(config.checkpoint_activations)
        index = self.dataset.tiles().set_index("tile_id")
        # One window on all tiles, of training and of measuring: that of `classify`.
        names = sorted({*self.seen.train, *self.seen.class_of})
        number = {name: place for place, name in enumerate(names)}
        self.learn = np.array([number[name] for name in self.seen.train])
        window = ChipWindow.of(self.dataset, names, config.hide_size, config.window)
        side = config.tile_px or config.vision.image_size
        self.pixels = load_chips(self.dataset, names, window, side, self.cache, config.contrast)
        self.scale = GreyScale.of(index.loc[self.seen.train])
        if config.contrast == "chip" and config.views.augment.changes_power:
            roots = chip_roots(self.dataset, names, window, self.cache)
            self.scale.root_B2 = torch.from_numpy(roots[self.learn])
        self.input = window.told
        self.order = Order(len(self.learn), config.batch_size, config.seed)
        self.steps_per_epoch = self.order.steps_per_epoch
        self.ends = [config.epochs * self.steps_per_epoch if config.steps is None else config.steps]
        if config.warmup_epochs is not None:
            self.warmup_steps = round(config.warmup_epochs * self.steps_per_epoch)
        self.step = 0
        self.module = self.make()
        self.watch: Watch | None = None
        if engine.first and not engine.sharded:  # parts of weights say nothing alone
            self.watch = Watch.of(self.dataset, config, self.seen, names, self.pixels, self.cache)

    @abstractmethod
    def make(self) -> Module:
        """The module that computes the losses."""

    @abstractmethod
    def views(self, part: TileViews, maker: ViewMaker) -> list[Tensor]:
        """TileViews of a pass, on the device."""

    @property
    def tower(self) -> VisionModel:
        """What is kept in the end; another one than `model` where a teacher is."""
        return self.model

    tower_names: ClassVar[str] = "visual_encoder."
    """What stands before the names of the kept tower's tensors in `module`."""

    def hide(self, rows: np.ndarray, seeds: np.ndarray) -> np.ndarray | None:
        """Which patches of the global views are hidden (B, G, N), drawn on the CPU; None where the module does it."""
        return None

    def picture(self, images: Tensor) -> bytes | None:
        """What is said of hidden patches of tiles (B, S, S) uint8, as PNG; None where there is nothing to draw."""
        return None

    # ---- for the loop -----------------------------------------------------------------------------------------------

    def batches(self, rank: int, world: int) -> "ViewBatches":
        return ViewBatches(self, rank, world)

    def arguments(self, step: int) -> tuple[Any, ...]:
        self.step = step
        return ()

    def before_step(self) -> None:
        """A momentum model skips nothing."""
        if (ema := getattr(self.module, "ema", None)) is not None:
            ema.eval()

    def identity(self) -> list[str]:
        return [self.dataset.fingerprint, sha256("\n".join(self.seen.train).encode())[:16]]

    def cautions(self) -> list[str]:
        found = []
        if self.config.steps is not None and self.config.steps < self.steps_per_epoch:
            found.append(f"The training ends before every tile was seen once: {self.steps_per_epoch} steps are a pass.")
        return found

    def begin(self) -> None:
        """Say what is learned from; measure the tower as it begins."""
        say(f"{len(self.learn)} tiles ({self.input}), {self.steps_per_epoch} steps a pass, no labels read")
        if self.weights:
            write_json(self.config.out / _WEIGHTS, self.weights)
            for report in self.weights.values():
                say(describe(report))
        if self.watch is None:
            say("The log has no curve of neighbours and no pictures: by fsdp no process has a whole tower.")
        elif self.config.knn_every:
            self.watch.begin(self.tower, self.config.out)
            self._draw(0)

    def figures(self, step: int) -> dict[str, Any]:
        """The curve's next point, at the first log line from every `knn_every` steps on, and at the last."""
        config = self.config
        due = config.knn_every and (step % config.knn_every < config.log_every or step == self.total)
        if not due or self.watch is None:
            return {}
        self._draw(step)
        return self.watch.figures(self.tower)

    def _draw(self, step: int) -> None:
        if not self.config.pictures:
            return
        # The same tiles every time: those of the middle of the list, as they are.
        places = np.linspace(0, len(self.learn) - 1, min(self.config.pictures, len(self.learn))).round().astype(int)
        tiles = torch.from_numpy(np.array(self.pixels[self.learn[places]])).to(self.engine.device)
        drawn = self.picture(tiles)
        if drawn is not None:
            folder = self.config.out / "pictures"
            folder.mkdir(exist_ok=True)
            (folder / f"step-{step:06d}.png").write_bytes(drawn)

    def told(self, line: Mapping[str, Any]) -> str:
        near = f"  k-NN {line['knn']:.3f}" if line.get("knn") is not None else ""
        return "  ".join(f"{name} {line[name]:.4f}" for name in self.losses) + near

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the tower with its card, and draw the curve."""
        state, out = whole_state(self.module), self.config.out
        result: dict[str, Any] = {}
        if self.engine.first:
            names, config = self.tower_names, self.config
            kept = {name.removeprefix(names): one for name, one in state.items() if name.startswith(names)}
            card = cast(ModelCard, {**seen_card(self.dataset, config, self.seen), "run": run_name(config, self)})
            card |= cast(ModelCard, provenance())
            if (out / _WEIGHTS).is_file():  # also where this process only went on with the run
                card["weights"] = for_card(cast(Any, read_json(out / _WEIGHTS)))
            save_vision(self.model, out / MODEL, card, config.method, kept)
            lines = read_log(out / "log.jsonl")
            curve = self.watch.finish(out, lines) if self.watch is not None and config.knn_every else {}
            result = {
                "model": str(out / MODEL),
                "method": config.method,
                "steps": step,
                "tiles": len(self.learn),
                "seconds": seconds,
                "images_per_s": step * config.batch_size / max(1e-9, seconds),
                "last": (lines or [{}])[-1],
                "curve": curve,
                "cautions": cautions(lines, curve),
            }
        return dict(self.engine.fabric.broadcast(result))


class ViewBatches:
    """Batches by number of step and pass; each process gets its rows of the global batch."""

    def __init__(self, task: SelfSupervision[Any], rank: int, world: int) -> None:
        self.task, self.config, self.rank, self.world = task, task.config, rank, world

    def stream(self, start: int, stop: int) -> Generator[list[TileViews], None, None]:
        return prefetched(self._step, start, stop, self.config.workers, 2)

    def deliver(self, part: TileViews, step: int, micro: int, device: torch.device | str) -> TileViews:
        """To the device, and the views made there."""
        hidden = None if part.hidden_GBN is None else part.hidden_GBN.to(device)
        tiles, seed_B, scale = part.tiles.to(device), part.seed_B.to(device), part.scale.to(device)
        there = replace(part, tiles=tiles, seed_B=seed_B, scale=scale, hidden_GBN=hidden)
        with torch.no_grad():
            maker = ViewMaker(tiles, seed_B, scale, self.config.views)
            return replace(there, images=self.task.views(there, maker))

    def _step(self, step: int) -> list[TileViews]:
        """This process's passes of a step, on the CPU. Chance is drawn for the whole batch, whoever holds which row."""
        config, task = self.config, self.task
        rows = task.order.rows(step)
        seeds = np.random.default_rng([config.seed, 2, step]).integers(2**62, size=len(rows))
        parts = []
        for micro in range(config.accumulate):
            mine = dealt(len(rows), micro, config.accumulate, self.rank, self.world)
            tiles = torch.from_numpy(np.array(task.pixels[task.learn[rows[mine]]]))
            hidden = task.hide(rows[mine], seeds[mine])
            hidden_GBN = None if hidden is None else torch.from_numpy(hidden).transpose(0, 1)
            scale, seed_B = task.scale.rows(rows[mine]), torch.from_numpy(seeds[mine])
            parts.append(TileViews(tiles, scale, seed_B, hidden_GBN))
        return parts


def known_pixels(images: Tensor) -> Tensor:
    """Which pixels have data (bool), of any images in which 0 is none."""
    return images != 0
