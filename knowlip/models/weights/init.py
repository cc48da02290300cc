"""What a training starts from instead of random weights."""

from pathlib import Path

from knowlip.models.knowlip import KnowLIP
from knowlip.models.settings import InitConfig
from knowlip.models.weights.bert import convert_bert
from knowlip.models.weights.blip import convert_blip
from knowlip.models.weights.ledger import Conversion, WeightsReport
from knowlip.models.weights.own import convert_own, open_start
from knowlip.models.weights.source import read_source
from knowlip.models.weights.vit import Normalisation, convert_vit, timm_source


def initialise(model: KnowLIP, init: InitConfig, start: KnowLIP | None = None) -> dict[str, WeightsReport]:
    """Fill a model with foreign weights in place. Call it before the momentum copy and the optimiser are made.

    Args:
        model: with random weights.
        init: from where.
        start: the model of `init.model`, where it is open already.

    Returns:
        For "vision", "text", "blip" or "model", what was loaded, resized, folded, dropped and is new; empty when
        nothing was asked for.

    Raises:
        ValueError: a file is missing, in no known layout, of other sizes, or has tensors without a place.
    """
    if init.blip and (init.vision or init.text):
        raise ValueError("init.blip fills both towers: leave out init.vision and init.text.")
    if init.model and (init.blip or init.vision or init.text):
        raise ValueError("init.model fills everything: leave out init.vision, init.text and init.blip.")
    if (init.vision_mean is None) != (init.vision_std is None):
        raise ValueError("Give init.vision_mean and init.vision_std together.")
    conversions: dict[str, Conversion] = {}
    if init.vision:
        conversions["vision"] = _vision(model, init)
    if init.text:
        conversions["text"] = convert_bert(read_source(init.text), model)
    if init.blip:
        conversions["blip"] = convert_blip(read_source(init.blip), model, init.antialias)
    if init.model:
        conversions["model"] = convert_own(start or open_start(init.model), init.model, model)
    for conversion in conversions.values():  # all files fit before the first tensor changes
        conversion.apply(model)
    return {part: conversion.report.as_dict() for part, conversion in conversions.items()}


def _vision(model: KnowLIP, init: InitConfig) -> Conversion:
    given: Normalisation | None = None
    if init.vision_mean is not None and init.vision_std is not None:
        given = init.vision_mean, init.vision_std
    if init.vision == "timm" or init.vision.startswith(("timm/", "hf-hub:", "hf_hub:")):
        name = model.config.vision.name if init.vision == "timm" else init.vision.removeprefix("timm/")
        source, known = timm_source(name)
        return convert_vit(source, model, given or known, init.antialias, init.vision_grid)
    return convert_vit(read_source(Path(init.vision)), model, given, init.antialias, init.vision_grid)
