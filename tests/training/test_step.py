"""The whole step against BLIP's structure in float64, and against itself on two ranks."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks.blip_step import BlipStep
from knowlip.jobs.ranks import gather, gather_with_grad, rank, sum_over_ranks, world
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.tokenizer import pad
from knowlip.training.batch import Batch, group_holes
from knowlip.training.losses import JointLoss, ObjectiveConfig

WORDS = "one two three four five six seven eight water ships upper left center right"


def make_tokenizer() -> TextTokenizer:
    return TextTokenizer.train([WORDS] * 3, vocab_size=120)


def make_step(vision_width: int = 32, reads: str = "text", **objectives: object) -> JointLoss:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    vision = VisionConfig(
        "vit_tiny_patch16_224", 32, {"patch_size": 8, "embed_dim": vision_width, "depth": 2, "num_heads": 2}
    )
    text = TextConfig(
        len(tokenizer), width=32, layers=2, heads=2, mlp_width=64, max_length=24, dropout=0.0, decoder_reads=reads
    )  # type: ignore[arg-type]
    model = KnowLIP(ModelConfig(vision, text, embed_dim=16), tokenizer).double()
    model.normalise = lambda pixels: KnowLIP.normalise(model, pixels).double()  # type: ignore[method-assign]
    for parameter in model.parameters():  # BERT's 0.02 makes every difference tiny: spread the weights
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    step = JointLoss(model, ObjectiveConfig(**{"queue": 6, **objectives})).double()  # type: ignore[arg-type]
    for parameter in step.ema.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    step.queue.push(*(torch.randn(2, 4, 16, dtype=torch.double).unbind(0)), torch.arange(90, 94), torch.arange(4))
    return step.eval()


def make_batch(tokenizer: TextTokenizer, rows: slice = slice(None), pairs: int = 8, share: float = 1.0) -> Batch:
    """Rows of one global batch; texts 2 and 5 are the same, and are that of an entry of the queue."""
    torch.manual_seed(5)
    draw = lambda low, high, *shape: torch.randint(low, high, shape)  # noqa: E731
    contents = [draw(8, 60, int(length)).tolist() for length in draw(2, 12, pairs)]
    contents[5] = contents[2]
    hashes = torch.arange(100, 100 + pairs)
    hashes[[2, 5]] = 1
    infilled = round(pairs * share)
    text = pad([tokenizer.frame(ids, 24) for ids in contents])
    context = pad([tokenizer.frame([*ids[:1], tokenizer.mask, *ids[4:]], 24, True) for ids in contents[:infilled]])
    content = pad([[tokenizer.dec, *(ids[1:4] * (1 + 2 * (i == 1))), tokenizer.sep] for i, ids in enumerate(contents)])
    pixels, uniform = draw(0, 256, pairs, 32, 32).to(torch.uint8), torch.rand(pairs, 2, dtype=torch.double)

    def mine(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return pair[0][rows], pair[1][rows]

    return Batch(
        pixels[rows],
        torch.arange(pairs)[rows],
        hashes[rows],
        mine(text),
        mine(context),
        (context[0] == tokenizer.mask).int().argmax(1)[rows],
        mine((content[0][:infilled], content[1][:infilled])),
        uniform[rows],
    )


def gradients(step: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    step.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in step.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("vision_width", "share", "floor"), [(32, 1.0, 1e-4), (24, 0.5, 0.1)])
def test_losses_and_gradients_are_those_of_blips_structure(vision_width: int, share: float, floor: float) -> None:
    step = make_step(vision_width, itm_share=share, infill_share=share, negative_floor=floor, itc=0.7, itm=1.3)
    baseline = BlipStep(step)
    batch = make_batch(step.model.tokenizer, share=share)
    baseline.ema.load_state_dict(step.ema.state_dict())
    baseline.config.momentum = 1.0  # BLIP moves the momentum model before the pass, we after it
    losses, features = step(batch, 0.4)
    want = baseline(batch, 0.4)
    for name in ("itc", "itm", "infill", "loss"):
        torch.testing.assert_close(losses[name], want[name], rtol=1e-9, atol=1e-9)
    got, expected = gradients(step, losses["loss"]), gradients(baseline, want["loss"])
    assert got.keys() == expected.keys()
    for name in got:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-7, atol=1e-9, msg=name)
    step.finish([features], 0.9)
    for name, buffer in step.queue.named_buffers():
        torch.testing.assert_close(buffer, dict(baseline.queue.named_buffers())[name], msg=name)


def test_the_gradient_of_the_whole_step_is_a_finite_difference() -> None:
    step = make_step(alpha=0.0)
    batch = make_batch(step.model.tokenizer)
    found = gradients(step, step(batch, 0.0)[0]["loss"])
    torch.manual_seed(1)
    weights = dict(step.model.named_parameters())
    direction = {name: torch.randn_like(weights[name]) for name in weights if name != "temp"}
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for name, moved in direction.items():
                weights[name].add_(moved, alpha=sign * 1e-6)
            values.append(step(batch, 0.0)[0]["loss"])
            for name, moved in direction.items():
                weights[name].sub_(moved, alpha=sign * 1e-6)
    want = (values[0] - values[1]) / 2e-6
    got = sum((found[f"model.{name}"] * moved).sum() for name, moved in direction.items())
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_the_language_model_writes_each_text_by_itself() -> None:
    step = make_step(vision_width=24, reads="image", generation="lm", itc=0, itm=0)
    batch = make_batch(step.model.tokenizer, share=0.5)
    model, total, count = step.model, 0.0, 0
    with torch.no_grad():
        losses, features = step(batch, 0.4)
        for i in range(4):
            ids = batch.text[0][i][batch.text[1][i]]
            tokens, _ = model.encode_images(model.normalise(batch.pixels_BSS[i : i + 1]))
            memory, seen = model.lm_input(tokens)
            start = torch.cat([torch.tensor([model.tokenizer.dec]), ids[1:-1]])
            log_p = model.text_decoder.cls(model.text_decoder(start[None], memory, seen)[0])[0].log_softmax(-1)
            for place, target in enumerate(ids[1:]):
                total -= float(0.9 * log_p[place, target] + 0.1 * log_p[place].mean())
                count += 1
    assert losses["infill"].item() == pytest.approx(total / count, rel=1e-9)
    assert losses["loss"].item() == losses["infill"].item()
    assert losses["itc"].item() == losses["itm"].item() == 0
    assert all(len(part) == 0 for part in features)


def test_what_the_decoder_reads_must_fit_the_objective() -> None:
    with pytest.raises(ValueError, match="decoder_reads"):
        make_step(reads="image")
    with pytest.raises(ValueError, match="decoder_reads"):
        make_step(generation="lm")


def test_pairs_without_a_negative_do_not_count() -> None:
    step = make_step()
    batch = make_batch(step.model.tokenizer)
    batch.text_hash_B[:] = 7  # the same text everywhere: only the true pairs are left
    losses, _ = step(batch, 0.0)
    model = step.model
    ids, keep = batch.text[0].clone(), batch.text[1]
    ids[:, 0] = model.tokenizer.enc
    tokens, _ = model.encode_images(model.normalise(batch.pixels_BSS))
    logits = model.match_ids(ids, keep, model.image_key_values(tokens)).double()
    torch.testing.assert_close(losses["itm"], -logits.log_softmax(-1)[:, 1].mean(), rtol=1e-6, atol=1e-6)


def test_queue_duplicates() -> None:
    step = make_step(queue=8)
    assert step.queue.duplicates() == 0
    step.queue.push(torch.zeros(2, 16), torch.zeros(2, 16), torch.tensor([1, 2]), torch.tensor([3, 9]))
    assert step.queue.duplicates() == pytest.approx(2 / 6)
    assert JointLoss(step.model, ObjectiveConfig(queue=0)).queue.duplicates() == 0


def test_a_batch_moves_whole() -> None:
    batch = make_batch(make_tokenizer(), share=0.5)
    moved = batch.to("meta")
    assert moved.content[1].device.type == moved.uniform_B2.device.type == moved.text_place_M.device.type == "meta"
    assert batch.pixels_BSS.device.type == "cpu"
    assert len(batch) == len(moved) == 8
    assert moved.holes[0][0].device.type == "meta"
    assert isinstance(moved.text, tuple)
    assert len(batch.text_place_M) == int(batch.text[1][:4, 1:].sum())


def test_no_step_waits_for_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the "meta" device tensors have no values: asking for one, as `.item()` or a mask as index does, fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # there is none for this device
    step = make_step(itm_share=0.5, infill_share=0.5)
    batch = make_batch(step.model.tokenizer, share=0.5).to("meta")
    step.to("meta")
    losses, features = step(batch, 0.4)
    losses["loss"].backward()
    step.finish([features], 0.9)
    assert losses["loss"].device.type == "meta"
    with pytest.raises((RuntimeError, NotImplementedError)):
        BlipStep(step)(batch, 0.4)


@pytest.mark.parametrize("multiple", [1, 32])
def test_holes_are_grouped_by_length_and_nothing_is_lost(multiple: int) -> None:
    lengths = [3, 2, 40, 5, 33, 1]
    owner, hole = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([4, 9, 1, 3, 5, 8])
    content = pad([[*range(1, write + 2), *[0] * (-(write + 1) % multiple)] for write in lengths])
    content = content[0], content[0] > 0
    groups = group_holes(owner, hole, content, multiple)
    met = []
    for owners, places, reads, place, target in groups:
        for i, (text, at) in enumerate(zip(owners.tolist(), places.tolist())):
            row = next(r for r in range(6) if (owner[r], hole[r]) == (text, at))
            write = lengths[row]
            met.append(row)
            assert reads[i][:write].tolist() == list(range(1, write + 1))
            mine = place // reads.shape[1] == i
            assert (place[mine] % reads.shape[1]).tolist() == list(range(write))
            assert target[mine].tolist() == list(range(2, write + 2))
    assert sorted(met) == list(range(6))
    widths = [group[2].shape[1] for group in groups]
    assert widths == ([2, 5, 40] if multiple == 1 else [32, 63])
    alike = content[0][:2], content[1][:2]
    assert len(group_holes(owner[:2], hole[:2], alike)) == 1


def test_holes_of_one_reading_are_written_as_if_each_text_were_read_for_one() -> None:
    step = make_step(itc=0, itm=0)
    batch = make_batch(step.model.tokenizer)
    mask, rows = step.model.tokenizer.mask, len(batch)
    ids = batch.text[0].clone()
    ids[:, 2] = ids[:, 4] = mask
    both = torch.tensor([2, 4] * rows)
    content = tuple(part.repeat_interleave(2, 0) for part in batch.content)
    arguments = (batch.pixels_BSS, batch.image_id_B, batch.text_hash_B, batch.text)
    each = torch.arange(rows).repeat_interleave(2)
    once = Batch(*arguments, (ids, batch.text[1]), both, content, batch.uniform_B2, owner_R=each)
    twice = Batch(
        *(part[each] if isinstance(part, torch.Tensor) else (part[0][each], part[1][each]) for part in arguments),
        (ids[each], batch.text[1][each]),
        both,
        content,
        batch.uniform_B2[each],
    )
    with torch.no_grad():
        torch.testing.assert_close(step(once, 0.0)[0]["infill"], step(twice, 0.0)[0]["infill"])


# ---- two ranks -----------------------------------------------------------------------------------------------------


SETTINGS: list[dict] = [
    {"itm_negatives": "all", "itm_share": 0.5, "infill_share": 0.5},
    {"itm_negatives": "all", "generation": "lm", "reads": "image", "infill_share": 0.5, "vision_width": 24},
    {"itm": 0.0, "infill_share": 0.5, "queue": 7},
]


def _one_rank(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=2)
    for i, settings in enumerate(SETTINGS):
        step = make_step(**settings)
        batch = make_batch(step.model.tokenizer, slice(number, None, 2), share=0.5)
        losses, features = step(batch, 0.4)
        found = gradients(step, losses["loss"])
        for name in found:
            dist.all_reduce(found[name])
        step.finish([features], 0.9)
        losses = {name: sum_over_ranks(loss) / world() for name, loss in losses.items()}
        mixed = torch.arange(6).view(3, 2) * 2 + rank()
        torch.save(
            {
                "losses": losses,
                "gradients": {name: g / 2 for name, g in found.items()},
                "queue": dict(step.queue.named_buffers()),
                "gathered": gather(mixed),
            },
            Path(folder) / f"{i}-{number}.pt",
        )
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes found with each of the settings (started once: imports are most of their time)."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(_one_rank, (str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("i", range(len(SETTINGS)))
def test_two_ranks_are_one(i: int, two_ranks: Path) -> None:
    step = make_step(**SETTINGS[i])
    losses, features = step(make_batch(step.model.tokenizer, share=0.5), 0.4)
    want = gradients(step, losses["loss"])
    step.finish([features], 0.9)
    for number in range(2):
        found = torch.load(two_ranks / f"{i}-{number}.pt", weights_only=True)
        for name, loss in losses.items():
            torch.testing.assert_close(found["losses"][name], loss.detach(), rtol=1e-9, atol=1e-9, msg=name)
        assert found["gradients"].keys() == want.keys()
        for name, gradient in want.items():
            torch.testing.assert_close(found["gradients"][name], gradient, rtol=1e-7, atol=1e-9, msg=name)
        for name, buffer in step.queue.named_buffers():
            torch.testing.assert_close(found["queue"][name], buffer, msg=name)
        assert found["gathered"][:, 0].tolist() == [0, 1, 4, 5, 8, 9]


def test_without_ranks_every_collective_is_the_identity() -> None:
    x = torch.randn(3, requires_grad=True)
    assert (rank(), world()) == (0, 1)
    assert gather_with_grad(x) is x
    for function in (gather, sum_over_ranks):
        assert torch.equal(function(x), x)
        assert not function(x).requires_grad
