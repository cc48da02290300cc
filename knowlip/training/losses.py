"""One pre-training step: the three losses of a batch and their weighted sum (arXiv 2509.23927, Eq. 7), and the momentum
and queue updates behind it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.base.plugins import plugin, plugin_names
from knowlip.jobs.ranks import gather, gather_with_grad, sum_over_ranks, world
from knowlip.models.attention import patch_tokens, watched_attention
from knowlip.models.flops import Shapes, step_flops, vision_sizes
from knowlip.models.knowlip import KnowLIP
from knowlip.models.readout import Answers
from knowlip.models.text import KeyValue, rows_of
from knowlip.objectives import (
    attend_loss,
    causal_ids,
    closed_loss,
    density_loss,
    hard_negatives,
    infill_loss,
    itc_loss,
    itm_loss,
    lm_loss,
    region_itc_loss,
    regions_loss,
    same,
    similarity,
    sizes_loss,
    types_loss,
)
from knowlip.training.batch import Batch, HoleGroup, Phrases
from knowlip.training.ema import momentum_copy, update_momentum
from knowlip.training.groundings import GroundingTargets
from knowlip.training.queue import FeatureQueue
from knowlip.training.settings import ObjectiveConfig

PARTS = ("itc", "itm", "infill", "ground", "attend", "regions")
"""The objectives, by the names of their weights."""
Features = tuple[Tensor, Tensor, Tensor, Tensor]
"""What the queue takes of a global batch: momentum features of images and texts, image ids, text hashes."""


class JointLoss(nn.Module):
    """Model, momentum model and queue together: everything whose state a checkpoint must hold."""

    def __init__(self, model: KnowLIP, config: ObjectiveConfig) -> None:
        super().__init__()
        asked = [] if model.readout is None else model.readout.names
        _check(model, config, asked)
        self.config, self.model = config, model
        self.closed_Q: Tensor
        weights = torch.tensor([config.closed.get(name, 1.0) for name in asked])
        self.register_buffer("closed_Q", weights, persistent=False)
        self.added = {name: _added(name) for name in config.added}
        self.ema = momentum_copy(model)
        self.queue = FeatureQueue(config.queue, model.config.embed_dim)

    def forward(self, batch: Batch, alpha: float) -> tuple[dict[str, Tensor], Features]:
        """The losses of this rank's rows; their mean over ranks is the loss of the global batch, whatever its number of
        ranks.

        Args:
            batch: of this rank.
            alpha: share of soft targets in the contrastive loss.

        Returns:
            Losses by name (those of `PARTS`, and `loss`; an objective of weight 0 is not computed and 0), and what
            :meth:`finish` puts into the queue.
        """
        model, config = self.model, self.config
        pixels = model.normalise(batch.pixels_BSS)
        tokens, image, answers = model.look(pixels, batch.width_m_B)
        text = model.embed_ids(*batch.text)
        zero = image.new_zeros(())
        losses = dict.fromkeys(PARTS, zero)
        losses["itc"], features = self._contrast(batch, pixels, image, text, alpha)
        if config.itm or config.infill:
            memory = model.image_key_values(tokens)
        if config.itm:
            losses["itm"] = self._match(batch, tokens, memory, image, text)
        if config.infill:
            if config.generation == "infill":
                losses["infill"], losses["attend"] = self._infill(batch, memory)
            else:
                losses["infill"] = self._lm(batch, memory)
        if config.regions:
            losses["regions"] = self._regions(tokens, batch.phrases)
        if config.ground and answers is not None and batch.grounding is not None:
            losses["ground"] = grounding_loss(answers, batch.grounding, self.closed_Q)
        losses |= {name: objective(image, text) for name, objective in self.added.items()}
        weighted = [getattr(config, name) * losses[name] for name in PARTS]
        losses["loss"] = torch.stack([*weighted, *(config.added[name] * losses[name] for name in self.added)]).sum()
        return losses, features

    def _contrast(
        self, batch: Batch, pixels: Tensor, image: Tensor, text: Tensor, alpha: float
    ) -> tuple[Tensor, Features]:
        """Contrast with the momentum features of all ranks' batches and of the queue."""
        # Places of the queue that were never written are masked, not cut off: a shape that grew with the queue
        # would make the processor wait for the device.
        queue = self.queue
        if not self.config.itc:
            none = image.new_zeros(0, image.shape[1])
            return image.new_zeros(()), (none, none, batch.image_id_B[:0], batch.text_hash_B[:0])
        if not (self.config.alpha or queue.size):
            return self._contrast_in_batch(batch, image, text)
        with torch.no_grad():
            _, image_m = self.ema.encode_images(pixels, batch.width_m_B)
            text_m = self.ema.embed_ids(*batch.text)
            everyone = gather(image_m), gather(text_m), gather(batch.image_id_B), gather(batch.text_hash_B)
            images, texts = torch.cat([everyone[0], queue.image]), torch.cat([everyone[1], queue.text])
            ids, hashes = torch.cat([everyone[2], queue.image_id]), torch.cat([everyone[3], queue.text_hash])
            exists = ids >= 0
            of_image, of_text = (one & exists for one in _positives(batch, ids, hashes))
        loss = itc_loss(
            image,
            text,
            image_m,
            text_m,
            images,
            texts,
            of_image,
            self.model.temp,
            alpha,
            exists_K=exists if queue.size else None,
            positive_text_BK=of_text,
        )
        return loss, everyone

    def _contrast_in_batch(self, batch: Batch, image: Tensor, text: Tensor) -> tuple[Tensor, Features]:
        """Without queue and soft targets nothing needs the momentum model: the batch's own features are compared, and
        both sides of each pair learn (as CLIP)."""
        images, texts = gather_with_grad(image), gather_with_grad(text)
        ids, hashes = gather(batch.image_id_B), gather(batch.text_hash_B)
        of_image, of_text = _positives(batch, ids, hashes)
        loss = itc_loss(
            image, text, image, text, images, texts, of_image, self.model.temp, 0.0, positive_text_BK=of_text
        )
        none = image.new_zeros(0, image.shape[1])
        return loss, (none, none, ids[:0], hashes[:0])

    def _match(self, batch: Batch, tokens: Tensor, memory: list[KeyValue], image: Tensor, text: Tensor) -> Tensor:
        """Matching on the first rows: each true pair, its image with a wrong text, its text with a wrong image.

        With `wrong_subtext` a fourth is the image with its own text but for one sub-text. All are one forward pass, and
        every shape follows from the batch's: a pair whose negative does not exist is computed with another and counts
        0.
        """
        model, config = self.model, self.config
        rows = max(1, round(len(batch) * config.itm_share))
        everywhere = config.itm_negatives == "all" and world() > 1
        with torch.no_grad():
            look = gather if everywhere else Tensor.detach
            hash_B = batch.matched_hash_B
            positives = [same(batch.image_id_B[:rows], look(batch.image_id_B), hash_B[:rows], look(hash_B))] * 2
            if batch.true_BM is not None:
                held = _true(batch.true_BM, look(hash_B)), _true(look(batch.true_BM), hash_B).T
                positives = [one | more[:rows] for one, more in zip(positives, held)]
            sides = zip((image, text), (text, image), batch.uniform_B2[:rows].unbind(1), positives)
            wrong_text, wrong_image = (
                hard_negatives(
                    similarity(own[:rows], look(other), model.temp), positive, uniform, config.negative_floor
                )
                for own, other, uniform, positive in sides
            )
            ids, keep = (
                torch.cat([part[:rows], look(part).index_select(0, wrong_text.clamp(min=0)), part[:rows]])
                for part in batch.matched
            )
            ids[:, 0] = model.tokenizer.enc
        drawn = wrong_image.clamp(min=0)
        if everywhere:  # keys and values of other ranks' images only where they were drawn
            drawn_memory = model.image_key_values(gather_with_grad(tokens).index_select(0, drawn))
        else:
            drawn_memory = rows_of(memory, drawn)
        pairs = [
            (torch.cat([k[:rows], k[:rows], other_k]), torch.cat([v[:rows], v[:rows], other_v]))
            for (k, v), (other_k, other_v) in zip(memory, drawn_memory)
        ]
        counts = [torch.ones_like(drawn), wrong_text >= 0, wrong_image >= 0]
        if batch.altered is not None and batch.altered_B is not None:
            more, width = batch.altered, max(ids.shape[1], batch.altered[0].shape[1])
            ids, keep = (
                torch.cat([F.pad(part, (0, width - part.shape[1])) for part in pair])
                for pair in ((ids, more[0]), (keep, more[1]))
            )
            ids[:, 0] = model.tokenizer.enc
            pairs = [
                (torch.cat([k, own_k[:rows]]), torch.cat([v, own_v[:rows]]))
                for (k, v), (own_k, own_v) in zip(pairs, memory)
            ]
            counts.append(batch.altered_B)
        logits = model.match_ids(ids, keep, pairs)
        counted = torch.cat([count.to(logits.dtype) for count in counts])
        is_match = torch.arange(len(ids), device=ids.device) < rows
        return itm_loss(logits, is_match, counted, sum_over_ranks(counted.sum()) / world())

    def _infill(self, batch: Batch, memory: list[KeyValue]) -> tuple[Tensor, Tensor]:
        """The holes' tokens from the image-grounded context, which is read once whatever holes it has; and the loss of
        guided attention."""
        ids, keep = batch.context
        readings = [([(key[: len(ids)], value[: len(ids)]) for key, value in memory], ids, keep, batch.holes)]
        readings = readings if batch.holes else []
        if batch.asked is not None:
            readings.append((rows_of(memory, batch.asked.image_Q), *batch.asked.question, batch.asked.holes))
        model, states_MD, targets_M = self.model, [], []
        attend = memory[0][0].new_zeros(())
        for number, (images, ids, keep, groups) in enumerate(readings):
            with ExitStack() as watching:
                caught: list[Tensor] = []
                if self.config.attend and batch.owner_R is not None and batch.holes and not number:  # not questions
                    caught = watching.enter_context(watched_attention(model, batch.owner_R, batch.hole_R))
                context = model.context_input(ids, keep, images)
            if caught and batch.grounding is not None:
                on_target = self._on_target(batch.grounding, memory[0][0].shape[2])[batch.owner_R]
                count = _everywhere(on_target.any(-1))
                attend = torch.stack([attend_loss(weights, on_target, count=count) for weights in caught]).mean()
            states, targets = write_holes(model, context, groups)
            states_MD += states
            targets_M += targets
        smoothing = self.config.label_smoothing
        return infill_loss(*written_logits(model, torch.cat(states_MD), torch.cat(targets_M), smoothing)), attend

    def _on_target(self, grounding: GroundingTargets, tokens: int) -> Tensor:
        """Which image tokens (B, N) hold a target that the annotator points at."""
        at, (rows, columns) = patch_tokens(self.model)
        found = F.adaptive_max_pool2d(grounding.number_BLGG.amax(1), (rows, columns)).flatten(1) > 0
        return F.pad(found, (at.start, tokens - at.stop))

    def _regions(self, tokens: Tensor, phrases: Phrases | None) -> Tensor:
        """Regions against the words for what they hold; all ranks ask each other how many there are."""
        model = self.model
        count = _everywhere(torch.ones_like(phrases.which_R) if phrases is not None else tokens.new_zeros(1))
        if phrases is None:
            return tokens.new_zeros(())
        at, (rows, columns) = patch_tokens(model)
        pooled = F.adaptive_avg_pool2d(tokens[:, at].transpose(1, 2).unflatten(2, (rows, columns)), 3).flatten(2)
        region = model.vision_proj(pooled.transpose(1, 2)[phrases.image_R, phrases.region_R])
        said, region = model.embed_ids(*phrases.ids), F.normalize(region.float(), dim=-1)
        return region_itc_loss(region, said, phrases.which_R, model.temp, count)

    def _lm(self, batch: Batch, memory: list[KeyValue]) -> Tensor:
        """The whole text from the image alone, left to right."""
        model, rows = self.model, len(batch.context[0])
        ids, targets = causal_ids(batch.matched[0][:rows], model.tokenizer.dec)
        images = [(k[:rows], v[:rows]) for k, v in memory]
        seen = torch.ones(rows, images[0][0].shape[2], dtype=torch.bool, device=ids.device)
        written, _ = model.text_decoder(ids, images, seen)
        states, targets = (x.flatten(0, 1).index_select(0, batch.text_place_M) for x in (written, targets))
        return lm_loss(*written_logits(model, states, targets, self.config.label_smoothing))

    def flops(self, batch: Batch) -> float:
        """Floating-point operations of forward and backward pass on a batch, for the utilisation of the device."""
        config, text, read = self.config, batch.text[0].shape[1], batch.matched[0].shape[1]
        holes = [(len(group[0]), group[2].shape[1]) for group in batch.holes]
        targets = sum(len(group[-1]) for group in batch.holes)
        contexts = len(batch.context[0]), batch.context[0].shape[1]
        if config.generation == "lm":
            holes, targets = [(len(batch.context[0]), read - 1)], len(batch.text_place_M)
        shapes = Shapes(
            pairs=len(batch),
            text=text,
            matched=max(1, round(len(batch) * config.itm_share)) if config.itm else 0,
            contexts=contexts if config.infill else (0, 0),
            holes=tuple(holes) if config.infill else (),
            targets=targets if config.infill else 0,
            candidates=config.queue,
            read=read,
        )
        return step_flops(self.model.config, vision_sizes(self.model.visual_encoder), shapes, config.generation)

    @torch.no_grad()
    def finish(self, features: Sequence[Features], momentum: float) -> None:
        """After the optimiser's step: clamp tau to [0.001, 0.5], move the momentum model, fill the queue.

        Args:
            features: what :meth:`forward` returned, once for each micro-batch of the step.
            momentum: of the momentum model.
        """
        self.model.temp.clamp_(0.001, 0.5)
        update_momentum(self.ema, self.model, momentum)
        for of_batch in features:
            self.queue.push(*of_batch)


def _check(model: KnowLIP, config: ObjectiveConfig, asked: Sequence[str]) -> None:
    """Refuse objectives that this model cannot learn, or that would do nothing.

    Args:
        asked: names of the closed questions that its readout answers.

    Raises:
        ValueError: two settings do not fit.
    """
    # Each of these would train for hours and do something else than its words say.
    reads = {"infill": ("text", "both"), "lm": ("image",)}[config.generation]
    if config.infill and model.config.text.decoder_reads not in reads:
        raise ValueError(
            f"objectives.generation {config.generation} needs model.text.decoder_reads {reads[0]}: the decoder "
            "must read in training what it will read in use."
        )
    if config.generation == "lm" and (config.questions or config.attend):
        raise ValueError("objectives.questions and objectives.attend need objectives.generation infill.")
    if config.wrong_subtext and not config.itm:
        raise ValueError("objectives.wrong_subtext is a part of matching: set objectives.itm above 0 too.")
    if config.ground and model.readout is None:
        raise ValueError("objectives.ground teaches the readout: set model.readout to true, or objectives.ground to 0.")
    if config.closed and not config.ground:
        raise ValueError("objectives.closed weighs what objectives.ground teaches: set that above 0 too.")
    if unread := sorted({*config.closed} - {*asked}):
        raise ValueError(f"objectives.closed: this model's readout answers no question {', '.join(unread)}.")


def _added(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """An objective of a plug-in, whose results are checked.

    Raises:
        ValueError: there is none of the name, or it has that of one of ours.
    """
    if name in (*PARTS, "loss") or name not in plugin_names("objectives"):
        there = ", ".join(plugin_names("objectives")) or "none"
        raise ValueError(f"objectives.added: no plug-in has an objective {name!r} (there are: {there}).")
    objective = plugin("objectives", name)

    def checked(image_BE: Tensor, text_BE: Tensor) -> Tensor:
        found = objective(image_BE, text_BE)
        if not isinstance(found, Tensor) or found.ndim:
            raise ValueError(f"The objective {name} must give one number, a tensor without dimensions.")
        return found

    return checked


def write_holes(
    model: KnowLIP, context: tuple[list[KeyValue], Tensor, Tensor], groups: Sequence[HoleGroup]
) -> tuple[list[Tensor], list[Tensor]]:
    """The decoder's states (M, D) where there is a target, and the targets (M,), of each group of holes.

    Args:
        model: in training.
        context: of :meth:`KnowLIP.context_input`, what is read for the holes.
        groups: of :func:`knowlip.training.batch.group_holes`.
    """
    (read, kept, states), found, targets = context, [], []
    for owner, hole, ids, place, target in groups:
        start = states[owner, hole] if model.config.text.start_at_hole else None
        written, _ = model.text_decoder(ids, rows_of(read, owner), kept.index_select(0, owner), hole_BD=start)
        found.append(written.flatten(0, 1).index_select(0, place))
        targets.append(target)
    return found, targets


def written_logits(
    model: KnowLIP, states_MD: Tensor, targets_M: Tensor, label_smoothing: float
) -> tuple[Tensor, Tensor, float, Tensor]:
    """Arguments of the generative losses: logits only where there is a target, and the number of tokens that makes the
    mean over ranks the mean over tokens."""
    count = sum_over_ranks(torch.full((), float(len(targets_M)), device=targets_M.device)) / world()
    return model.text_decoder.cls(states_MD), targets_M, label_smoothing, count


def grounding_loss(answers: Answers, targets: GroundingTargets, weight_Q: Tensor) -> Tensor:
    """Closed questions, regions, densities, sizes and types; densities weigh a tenth, for they are sums over cells.

    Args:
        answers: of the readout.
        targets: what it is taught.
        weight_Q: how much each closed question counts.
    """
    held, agree = targets.held_BM9, targets.agree_BQK[:, : answers.closed_BQK.shape[1]]
    number, known, size = targets.number_BLGG, targets.known_BL, targets.log_size_B2GG
    return (
        closed_loss(answers.closed_BQK, agree, weight_Q, _everywhere(agree.any(-1) * weight_Q))
        + regions_loss(answers.regions_BM9, held, _everywhere(held >= 0))
        + 0.1 * density_loss(answers.log_rates_BLGG, number, known, _everywhere(known))
        + sizes_loss(answers.log_sizes_B2GG, size, _everywhere(size.isfinite()))
        + types_loss(answers.log_types_BTGG, targets.type_BGG, _everywhere(targets.type_BGG >= 0))
    )


def _positives(batch: Batch, ids_K: Tensor, hashes_K: Tensor) -> tuple[Tensor, Tensor]:
    """Which of K candidates, those of all ranks' batches first, are positives of each image and of each text (B, K)."""
    positive = same(batch.image_id_B, ids_K, batch.text_hash_B, hashes_K)
    if batch.true_BM is None:
        return positive, positive
    everyone = _true(gather(batch.true_BM), batch.text_hash_B).T  # of the queue's images nothing more is known
    of_text = positive.clone()
    of_text[:, : everyone.shape[1]] |= everyone
    return positive | _true(batch.true_BM, hashes_K), of_text


def _true(true_BM: Tensor, hashes_K: Tensor) -> Tensor:
    """Which texts are among those that are true of each image (B, K)."""
    return torch.stack([torch.isin(hashes_K, of_image) for of_image in true_BM])


def _everywhere(known: Tensor) -> Tensor:
    """How many are known, as the mean over ranks: then the mean of the ranks' losses is the mean over all of them."""
    return sum_over_ranks(known.sum().float()) / world()
