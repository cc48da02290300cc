"""The baseline of `pretrain_step.py`: one pre-training step in plain eager PyTorch, in the structure of BLIP's code.

As Salesforce's `blip_pretrain.py`, `med.py` and `vit.py` do it: attention is spelled out (scores, additive mask,
softmax); matching runs the text encoder twice, on the true pairs and on twice as many wrong ones; wrong partners are
drawn sample by sample with `.item()`; every pass projects the image's tokens to keys and values again; logits are
computed at padded places too; the momentum model is moved in a loop over parameters. The weights are those of a
:class:`knowlip.training.losses.JointLoss`, the losses too: positives by image and by text, infilling for
language modelling, draws by the batch's own uniform numbers.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.models.text import AddNorm, Heads, TextDecoder, TextEncoder, TextLayer
from knowlip.models.vision import summary_token
from knowlip.training.batch import Batch
from knowlip.training.losses import JointLoss


class BlipStep(nn.Module):
    """The same weights and settings as `step`, copied; only the arithmetic's structure is another."""

    def __init__(self, step: JointLoss) -> None:
        super().__init__()
        copied = copy.deepcopy(step)
        self.config, self.model, self.ema, self.queue = copied.config, copied.model, copied.ema, copied.queue
        for tower in (self.model.visual_encoder, self.ema.visual_encoder):
            for module in tower.modules():
                if hasattr(module, "fused_attn"):
                    module.fused_attn = False

    def forward(self, batch: Batch, alpha: float) -> dict[str, Tensor]:
        model, ema, config = self.model, self.ema, self.config
        ids, keep = batch.text
        with torch.no_grad():
            model.temp.clamp_(0.001, 0.5)
        pixels = model.normalise(batch.pixels_BSS)
        image_embeds = model.visual_encoder(pixels)
        image_feat = F.normalize(model.vision_proj(summary_token(model.visual_encoder, image_embeds)), dim=-1)
        text_out = _encode(model.text_encoder, ids, keep)
        text_feat = F.normalize(model.text_proj(text_out[:, 0]), dim=-1)

        # ---- ITC: momentum features, queue, soft targets ------------------------------------------------------------
        with torch.no_grad():
            for old, new in zip(ema.parameters(), model.parameters()):
                old.data = old.data * config.momentum + new.data * (1.0 - config.momentum)
            image_embeds_m = summary_token(ema.visual_encoder, ema.visual_encoder(pixels))
            image_feat_m = F.normalize(ema.vision_proj(image_embeds_m), dim=-1)
            text_feat_m = F.normalize(ema.text_proj(_encode(ema.text_encoder, ids, keep)[:, 0]), dim=-1)
            queue_image, queue_text, queue_id, queue_hash = self.queue.entries()
            image_feat_all = torch.cat([image_feat_m, queue_image]).t()
            text_feat_all = torch.cat([text_feat_m, queue_text]).t()
            sim_i2t_m = image_feat_m @ text_feat_all / model.temp
            sim_t2i_m = text_feat_m @ image_feat_all / model.temp
            is_same = torch.eq(batch.image_id_B.view(-1, 1), torch.cat([batch.image_id_B, queue_id]).view(1, -1))
            is_same |= torch.eq(batch.text_hash_B.view(-1, 1), torch.cat([batch.text_hash_B, queue_hash]).view(1, -1))
            sim_targets = is_same.to(image_feat.dtype) / is_same.sum(1, keepdim=True)
            sim_i2t_targets = alpha * F.softmax(sim_i2t_m, dim=1) + (1 - alpha) * sim_targets
            sim_t2i_targets = alpha * F.softmax(sim_t2i_m, dim=1) + (1 - alpha) * sim_targets
        sim_i2t = image_feat @ text_feat_all / model.temp
        sim_t2i = text_feat @ image_feat_all / model.temp
        loss_i2t = -torch.sum(F.log_softmax(sim_i2t, dim=1) * sim_i2t_targets, dim=1).mean()
        loss_t2i = -torch.sum(F.log_softmax(sim_t2i, dim=1) * sim_t2i_targets, dim=1).mean()
        loss_itc = (loss_i2t + loss_t2i) / 2
        self._dequeue_and_enqueue(image_feat_m, text_feat_m, batch)

        # ---- ITM: one pass for the true pairs, one for the wrong ones ----------------------------------------------
        rows = max(1, round(len(ids) * config.itm_share))
        encoder_ids = ids.clone()
        encoder_ids[:, 0] = model.tokenizer.enc
        output_pos = _encode(model.text_encoder, encoder_ids[:rows], keep[:rows], image_embeds[:rows])
        with torch.no_grad():
            positive = is_same[:, : len(ids)]
            weights_i2t = F.softmax(image_feat @ text_feat.t() / model.temp, dim=1) + config.negative_floor
            weights_t2i = F.softmax(text_feat @ image_feat.t() / model.temp, dim=1) + config.negative_floor
            weights_i2t.masked_fill_(positive, 0)
            weights_t2i.masked_fill_(positive, 0)
        image_of_text = [_draw(weights_t2i[b], batch.uniform_B2[b, 1]) for b in range(rows)]
        text_of_image = [_draw(weights_i2t[b], batch.uniform_B2[b, 0]) for b in range(rows)]
        image_embeds_neg = torch.stack([image_embeds[k] for k in image_of_text])
        text_ids_neg = torch.stack([encoder_ids[k] for k in text_of_image])
        text_keep_neg = torch.stack([keep[k] for k in text_of_image])
        output_neg = _encode(
            model.text_encoder,
            torch.cat([encoder_ids[:rows], text_ids_neg]),
            torch.cat([keep[:rows], text_keep_neg]),
            torch.cat([image_embeds_neg, image_embeds[:rows]]),
        )
        vl_output = model.itm_head(torch.cat([output_pos[:, 0], output_neg[:, 0]]))
        itm_labels = torch.cat([torch.ones(rows), torch.zeros(2 * rows)]).long().to(ids.device)
        loss_itm = F.cross_entropy(vl_output, itm_labels)

        # ---- infilling: logits everywhere, padding ignored by the loss ---------------------------------------------
        context_ids, context_keep = batch.context
        content_ids, content_keep = batch.content
        states = _encode(model.text_encoder, context_ids, context_keep, image_embeds[: len(context_ids)])
        written = _decode(model.text_decoder, content_ids[:, :-1], states, context_keep, _hole(states, batch.hole_R))
        logits = model.text_decoder.cls(written)
        targets = content_ids[:, 1:].masked_fill(~content_keep[:, 1:], -100)
        loss_infill = F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), label_smoothing=config.label_smoothing
        )
        loss = config.itc * loss_itc + config.itm * loss_itm + config.infill * loss_infill
        return {"itc": loss_itc, "itm": loss_itm, "infill": loss_infill, "loss": loss}

    @torch.no_grad()
    def _dequeue_and_enqueue(self, image_feats: Tensor, text_feats: Tensor, batch: Batch) -> None:
        if self.queue.size:
            self.queue.push(image_feats, text_feats, batch.image_id_B, batch.text_hash_B)


def _draw(weights_B: Tensor, uniform: Tensor) -> int:
    """One sample of the multinomial, by the given number instead of a generator's."""
    summed = torch.cumsum(weights_B / weights_B.sum(), 0)
    return int(torch.searchsorted(summed, uniform.to(summed.dtype), right=True).clamp(max=len(summed) - 1).item())


def _hole(states: Tensor, hole_R: Tensor) -> Tensor:
    return torch.stack([states[b, int(place.item())] for b, place in enumerate(hole_R)])


def _additive(keep_BN: Tensor, dtype: torch.dtype) -> Tensor:
    return (1.0 - keep_BN[:, None, None, :].to(dtype)) * -10000.0


def _attend(heads: Heads, hidden: Tensor, memory: Tensor, mask: Tensor | None) -> Tensor:
    """`BertSelfAttention.forward`."""
    query, key, value = (
        heads.split(heads.query(hidden)),
        heads.split(heads.key(memory)),
        heads.split(heads.value(memory)),
    )
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + mask
    probabilities = F.dropout(F.softmax(scores, dim=-1), heads.dropout, heads.training)
    context = torch.matmul(probabilities, value).permute(0, 2, 1, 3).contiguous()
    return context.view(*hidden.shape[:-1], -1)


def _output(module: AddNorm, hidden: Tensor, residual: Tensor) -> Tensor:
    return module.LayerNorm(module.dropout(module.dense(hidden)) + residual)


def _layer(layer: TextLayer, hidden: Tensor, mask: Tensor, memory: Tensor | None, memory_mask: Tensor | None) -> Tensor:
    hidden = _output(layer.attention.output, _attend(layer.attention.self, hidden, hidden, mask), hidden)
    if memory is not None:
        cross = layer.crossattention
        hidden = _output(cross.output, _attend(cross.self, hidden, memory, memory_mask), hidden)
    return _output(layer.output, F.gelu(layer.intermediate.dense(hidden)), hidden)


def _encode(encoder: TextEncoder, ids: Tensor, keep: Tensor, image_embeds: Tensor | None = None) -> Tensor:
    hidden = encoder.embeddings(ids)
    mask = _additive(keep, hidden.dtype)
    image_mask = None
    if image_embeds is not None:
        image_mask = _additive(torch.ones(image_embeds.shape[:2], device=ids.device), hidden.dtype)
    for layer in encoder.encoder.layer:
        hidden = _layer(layer, hidden, mask, image_embeds, image_mask)
    return hidden


def _decode(decoder: TextDecoder, ids: Tensor, states: Tensor, states_keep: Tensor, hole: Tensor) -> Tensor:
    hidden = decoder.embeddings(ids)
    hidden = torch.cat([hidden[:, :1] + hole[:, None], hidden[:, 1:]], 1)
    length = ids.shape[1]
    causal = _additive(torch.ones(1, length, device=ids.device), hidden.dtype) + torch.triu(
        torch.full((length, length), -10000.0, dtype=hidden.dtype, device=ids.device), diagonal=1
    )
    states_mask = _additive(states_keep, hidden.dtype)
    for layer in decoder.encoder.layer:
        hidden = _layer(layer, hidden, causal, states, states_mask)
    return hidden
