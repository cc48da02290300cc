"""The `measured` annotator: the five layers of HCoT offline, over what a small fitted network and classical SAR
analysis see in the pixels, and over what gazetteers know of the place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from knowlip.annotators.measured.coarse import CoarseEvidence, look_coarsely
from knowlip.annotators.measured.coarse_statements import coarse_additions, coarse_statements
from knowlip.annotators.measured.compose import STANDARD, TextOptions, compose, grammar_of
from knowlip.annotators.measured.evidence import TileEvidence
from knowlip.annotators.measured.knowledge import calibration, dimensions_of, earth, radar, social
from knowlip.annotators.measured.limits import DOUBTED, more_likely_true, within_limits
from knowlip.annotators.measured.measure import measure
from knowlip.annotators.measured.mentions import boxes_of, counts_of
from knowlip.annotators.measured.target_statements import target_statements
from knowlip.annotators.measured.terrain_statements import terrain_statements
from knowlip.annotators.measured.visible import is_coarse, seen_metres
from knowlip.annotators.types import Annotation, TileRequest
from knowlip.language.claims import parse_claims
from knowlip.language.definitions import PRESENT
from knowlip.language.dimensions import InstructionSet
from knowlip.language.grammar import Grammar
from knowlip.language.statements import Layer, Statement

_OF_MIXED_USE: Final = ("use-mixed", "mixed-routine")


class MeasuredAnnotator:
    """Writes texts offline and deterministically. Its errors are those of the measurement."""

    name = "measured"

    def __init__(self, options: TextOptions = STANDARD) -> None:
        self._options = options
        self.grammar = grammar_of(options.wordings)
        """What it speaks with: read once, so that one annotator has one set of words."""

    def annotate(self, request: TileRequest) -> Annotation:
        """Write the eight sub-texts of one tile.

        The instruction set is "marine" when ships on water are found, "ground" when aircraft on an airfield are found,
        "terrain" otherwise, and wherever pixels are too coarse for either.

        Raises:
            ValueError: when the image is not an 8-bit (H, W) array with at least one valid pixel.
        """
        if is_coarse(request):
            return write_coarsely(look_coarsely(request), request, self._options, self.grammar)
        evidence = measure(request.image, request.metres_per_pixel, request.detail, request.within)
        evidence = calibration.without_ports(evidence, request)
        return write(evidence, request, self._options, self.grammar)


def write(evidence: TileEvidence, request: TileRequest, options: TextOptions, grammar: Grammar) -> Annotation:
    """Sentences, counts and boxes for given evidence; `request` adds place, sensor and parent."""
    if evidence.category is None:
        kind, mains = InstructionSet.TERRAIN, terrain_statements(evidence, parent_function(request.parent))
    else:
        kind = InstructionSet.MARINE if evidence.category == "ship" else InstructionSet.GROUND
        mains = more_likely_true(target_statements(evidence))
        if kind is InstructionSet.MARINE and not calibration.may_have_port(request):  # no tankers on reservoirs
            mains["Category"] = Statement("unclear-category", layer=Layer.CALIBRATION)
    mains = within_limits(mains, evidence, seen_metres(request))
    checks = calibration.checks(request, evidence, kind, mains)
    mains = borne_out(mains, calibration.verdicts(checks, mains))
    known = [*known_of(request, evidence, kind, mains), *calibration.worth_saying(checks)]
    others = [(other, dimensions_of(other.topic, kind)) for other in known]
    sub_texts = compose(request.tile_id, request.scale, kind, mains, others, request.parent, options, grammar)
    height_m, width_m = (side * request.metres_per_pixel for side in request.image.shape)
    return Annotation(request.tile_id, kind, sub_texts, counts_of(evidence), boxes_of(evidence, width_m, height_m))


def write_coarsely(seen: CoarseEvidence, request: TileRequest, options: TextOptions, grammar: Grammar) -> Annotation:
    """Sentences on a tile of coarse pixels: covers, and what the place tells; no target is counted or pointed at."""
    kind, mains = InstructionSet.TERRAIN, coarse_statements(seen)
    window_m = max(request.image.shape) * request.metres_per_pixel
    evidence = TileEvidence(
        window_m, (), seen.shares, seen.grid, seen.certainty, metres_per_pixel=seen.metres_per_pixel
    )
    # What people do on open land depends on whether it is tilled or wooded, which is not seen.
    known = [other for other in known_of(request, evidence, kind, mains) if other.topic not in _OF_MIXED_USE]
    others = [*coarse_additions(seen), *((other, dimensions_of(other.topic, kind)) for other in known)]
    sub_texts = compose(request.tile_id, request.scale, kind, mains, others, request.parent, options, grammar)
    return Annotation(request.tile_id, kind, sub_texts)


def known_of(
    request: TileRequest, evidence: TileEvidence, kind: InstructionSet, mains: Mapping[str, Statement]
) -> list[Statement]:
    """What the layers other than the instances have to say of a tile, each layer's first things first."""
    place = earth.fitting(earth.statements(request), evidence)
    people = social.statements(request, use_of(evidence, kind, mains))
    if next(iter(evidence.landforms)) in ("quay", "airfield"):  # of one use, though what else a port needs is not seen
        people = [statement for statement in people if statement.topic not in _OF_MIXED_USE]
    return [*place, *people, *radar.statements(request, evidence)]


def borne_out(mains: Mapping[str, Statement], verdicts: Mapping[str, calibration.Verdict]) -> dict[str, Statement]:
    """The main statements, those that another layer speaks against with doubt."""
    return {
        dimension: replace(main, confidence=min(main.confidence, DOUBTED))
        if verdicts.get(main.topic) == "contradicted" and main.layer is not Layer.CALIBRATION
        else main
        for dimension, main in mains.items()
    }


def use_of(evidence: TileEvidence, kind: InstructionSet, mains: Mapping[str, Statement]) -> social.Function:
    """What the area seems to serve, by what is said of it."""
    if kind is InstructionSet.GROUND:
        return "airport"
    if kind is InstructionSet.MARINE:
        return "port" if evidence.landforms["quay"] >= PRESENT else "open water"
    return cast(social.Function, mains["Functionality"].slots.get("function", "mixed"))


def parent_function(parent: Annotation | None) -> str | None:
    """What the larger tile's text says the area serves; None without a parent or without such a statement."""
    if parent is None:
        return None
    if parent.instruction_set is InstructionSet.GROUND:
        return "airport"
    if parent.instruction_set is InstructionSet.MARINE:
        covers = parse_claims(InstructionSet.MARINE, "Environment", parent.text_of("Environment")).get("covers", [])
        return "port" if "quay" in covers else None
    return parse_claims(InstructionSet.TERRAIN, "Functionality", parent.text_of("Functionality")).get("function")
