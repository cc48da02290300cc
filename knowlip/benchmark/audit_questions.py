"""The audit's floors of questions: what one answers right without an image, by type of question.

Questions come from truth where the set has it, else from the annotator's texts, else from the boxes of ships and
aircraft (how many, of which type, where). Majorities are those of the training questions of the same protocol.
"""

from typing import Final

import numpy as np

from knowlip.base.vocabulary import TARGET_CATEGORIES, region_of
from knowlip.benchmark.audit_places import Places
from knowlip.dataset import Dataset
from knowlip.language.questions import QUESTION_TYPES, Question, questions_from_facts
from knowlip.language.tile_facts import Facts, facts_from_objects
from knowlip.tasks.answers import blind_answers
from knowlip.tasks.metrics import Estimate, proportion
from knowlip.tasks.questions import facts_about

METRIC: Final = "accuracy"


def questions_about_set(data: Dataset, places: Places, seed: int) -> tuple[list[Question], str]:
    """Questions about all tiles, and where their answers are from: "truth", "annotator", "boxes", "" where none can be
    asked."""
    if data.truth() or data.revisions():
        facts, source = facts_about(data, places.tile_ids)
    else:
        facts, source = facts_of_boxes(data, places), "boxes"
    questions = questions_from_facts(facts, seed, source)
    return questions, source if questions else ""


def facts_of_boxes(data: Dataset, places: Places) -> dict[str, Facts]:
    """What boxes of ships and aircraft tell about tiles, of the categories that the set has boxes of."""
    if not places.boxed:
        return {}
    annotations = data.annotations()
    there = [name for name in TARGET_CATEGORIES if (annotations["category"] == name).any()]
    objects: dict[str, list[dict[str, str | int]]] = {places.tile_ids[number]: [] for number in places.boxed}
    columns = ("tile_id", "category", "type", "x", "y", "width", "height")
    for name, category, kind, x, y, width, height in zip(*(annotations[column] for column in columns)):
        region = region_of(min(x + width / 2, 1.0), min(y + height / 2, 1.0))
        if name in objects:
            objects[name].append({"category": category, "type": kind, "region": region})
    return {name: facts_from_objects(found, there) for name, found in objects.items()} if there else {}


def question_floors(places: Places, seed: int) -> tuple[dict[str, dict[str, dict[str, Estimate]]], str]:
    """Protocol -> type of question -> floor -> accuracy, and where the answers are from; {} where none can be asked."""
    questions, source = questions_about_set(places.data, places, seed)
    if not questions:
        return {}, ""
    number_of = {name: number for number, name in enumerate(places.tile_ids)}
    of_tile: dict[int, list[Question]] = {}
    for question in questions:
        of_tile.setdefault(number_of[question.tile_id], []).append(question)
    found: dict[str, dict[str, dict[str, Estimate]]] = {}
    # Majorities are learned fold by fold, so that no tile is asked about with an answer that it helped to choose.
    for protocol, splits in places.protocols(sorted(of_tile)):
        for kind in QUESTION_TYPES:
            hits: dict[str, list[bool]] = {}
            clusters: list[str] = []
            for learn, ask in splits:
                train, asked = (
                    [one for number in some.tolist() for one in of_tile[number] if one.type == kind]
                    for some in (learn, ask)
                )
                if not train or not asked:
                    continue
                for name, said in blind_answers(train, asked).items():
                    hits.setdefault(name, []).extend(one.answer == answer for one, answer in zip(asked, said))
                clusters += places.clusters(np.array([number_of[one.tile_id] for one in asked]))
            if clusters:
                floors = {name: proportion(of, clusters) for name, of in hits.items()}
                found.setdefault(protocol, {})[kind.replace("_", " ")] = floors
    return found, source
