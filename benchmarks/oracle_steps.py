"""Where an answer is lost: questions answered at each step from the pixels to the words, with an oracle behind it.

    knowlip simulate --out runs/scenes --cities 9 --first_city 90 --seed 2     # cities that no model saw
    knowlip build --recipe demo --scenes runs/scenes --out runs/unseen
    knowlip annotate --recipe demo --dataset runs/unseen
    python -m benchmarks.oracle_steps runs/unseen --learned runs/demo/dataset [--questions 400]

The six types of questions about all tiles of a data set, made from their truth:

- `annotator`: what the sentences of the data set's annotator answer, a network of its own at full resolution;
- `readout`: what the model's readout says of the image, read off without any words;
- `words`: the answer that the text side alone ranks first;
- `model`: the answer that the model ranks first, as it is: landforms by words and readout together;
- `model told the truth`: the same where the readout's numbers, places, types, landforms and shares are set to the
  truth of the tile before they become memory tokens: what the text side makes of an image that is seen perfectly. What
  the readout has no slot for (a type of fewer targets, a share of 10 %) it is not told either;
- `readout told the truth`: what is read off those true slots: the limit of the slots themselves;
- `model told of another tile`: the truth of a tile of another place, with targets where this one has some, beside its
  own pixels. How far it falls says how much the words hang on the readout.

Writes rows to benchmarks/results/oracle_steps.json. Floors: the best blind answers of `knowlip evaluate`, from the
training tiles of LEARNED, which also say from which answers the model chooses.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.record import merge_rows
from knowlip.base.rows import Row
from knowlip.base.vocabulary import LANDFORMS, REGIONS, TARGET_CATEGORIES, region_of
from knowlip.dataset import Dataset
from knowlip.dataset.others import others_of
from knowlip.language.closed import CLOSED, HOLDS, MAPPED, PLACES, TYPES
from knowlip.language.definitions import TileTruth, holds
from knowlip.language.questions import QUESTION_TYPES, Question, QuestionType
from knowlip.language.tile_facts import facts_from_truth
from knowlip.language.true_groundings import true_answers
from knowlip.models.checkpoint import load_model
from knowlip.models.default import shipped_model
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.models.readout import Answers, Readout
from knowlip.tasks.answers import Asked, annotator_answers, answer, candidates, choose_questions, floors_of
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import proportion
from knowlip.tasks.questions import questions_about, questions_of

OUT: Final = Path(__file__).parent / "results" / "oracle_steps.json"
_SURE: Final = 8.0
"""Logit of what is known."""
_WORDS: Final = "words"
_READ: Final = {"model": "readout", "model told the truth": "readout told the truth"}


class ToldReadout(Readout):
    """A readout that keeps what it says of each tile, and says the truth where it is given one."""

    def ready(self, truths: Mapping[str, TileTruth], alone: bool) -> None:
        """Begin anew: with these truths (tile_id -> truth), or with none; whether words answer alone."""
        self.truths, self.alone = truths, alone
        self.tile_ids: Sequence[str] = ()
        self.read: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        """tile_id -> log-probabilities (Q, K) of closed questions and logits (M, 9) of regions, as they were said."""

    @property
    def reads_back(self) -> bool:
        return not self.alone and super().reads_back

    def in_tokens(self, answers: Answers, extent_B2: Tensor) -> tuple[Tensor, Tensor]:
        if self.truths:
            answers = told_answers(answers, [self.truths[tile_id] for tile_id in self.tile_ids])
        said = zip(self.tile_ids, answers.closed_BQK.cpu().numpy(), answers.regions_BM9.cpu().numpy(), strict=True)
        self.read.update({tile_id: (closed, regions) for tile_id, closed, regions in said})
        return super().in_tokens(answers, extent_B2)


class ToldImages:
    """Tiles whose names a readout hears before it sees them."""

    def __init__(self, data: Dataset, readout: ToldReadout) -> None:
        self.data, self.readout = data, readout

    def images(self, tile_ids: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
        self.readout.tile_ids = list(tile_ids)
        return iter(self.data.images(tile_ids))

    def widths_m(self, tile_ids: Sequence[str]) -> NDArray[np.float32]:
        return self.data.widths_m(tile_ids)


def told_answers(answers: Answers, truths: Sequence[TileTruth]) -> Answers:
    """The same where truth settles it: other closed questions and unclear regions stay as they were read."""
    closed, regions = answers.closed_BQK.clone(), answers.regions_BM9.clone()
    rates, sizes = torch.full_like(answers.log_rates_BLGG, -9.0), answers.log_sizes_B2GG.clone()
    types = answers.log_types_BTGG.clone()
    side = rates.shape[-1]
    for row, truth in enumerate(truths):
        for name, true in true_answers(truth).items():
            if PLACES[name] >= closed.shape[1]:
                continue  # a question that this readout does not answer
            known = CLOSED[PLACES[name]].answers
            closed[row, PLACES[name], : len(known)] = -2 * _SURE
            closed[row, PLACES[name], known.index(true)] = 0.0
        for number, name in enumerate(MAPPED):
            regions[row, number] = torch.tensor(_held(name, truth))
        placed: dict[tuple[int, int, int], int] = {}
        for one in truth["objects"]:
            x, y = (min(side - 1, max(0, int(one[name] * side))) for name in ("x", "y"))
            at = TARGET_CATEGORIES.index(one["category"]), y, x
            placed[at] = placed.get(at, 0) + 1
            if one["type"] in TYPES:
                types[row, :, y, x] = -2 * _SURE
                types[row, TYPES.index(one["type"]), y, x] = 0.0
            corners = np.ptp(np.asarray(one["polygon"], float), axis=0)
            sizes[row, :, y, x] = torch.from_numpy(np.log(np.maximum(corners, 1e-3))).to(sizes.dtype)
        for at, many in placed.items():
            rates[row][at] = float(np.log(many))
    return Answers(rates, sizes, types, closed, regions)


def _held(name: str, truth: TileTruth) -> list[float]:
    """Logits that regions hold what `MAPPED` names; a landform that leads its region is surer than one that is there
    too, and one below the share from which it belongs to all landforms is nowhere."""
    if name in TARGET_CATEGORIES:
        at = {region_of(one["x"], one["y"]) for one in truth["objects"] if one["category"] == name}
        return [_SURE if region in at else -_SURE for region in range(9)]
    facts = facts_from_truth(truth)
    there = name not in LANDFORMS or name in (facts.landforms or ())
    leads = [one == name for one in facts.grid or (None,) * 9]
    held = [there and holds(name, region, truth) for region in range(9)]
    return [_SURE if lead else _SURE / 2 if one else -_SURE for lead, one in zip(leads, held, strict=True)]


def read_off(question: Question, closed_QK: NDArray[np.float32], regions_M9: NDArray[np.float32]) -> str:
    """The answer that a readout's slots give, without words."""

    def likeliest(name: str, among: Sequence[str] | None = None) -> str:
        known = CLOSED[PLACES[name]].answers
        wanted = [place for place, one in enumerate(known) if among is None or one in among]
        return known[wanted[int(closed_QK[PLACES[name], wanted].argmax())]]

    forms = regions_M9[[MAPPED.index(name) for name in LANDFORMS]]
    match question.type:
        case QuestionType.COUNT:
            return likeliest("count")
        case QuestionType.RECOGNITION:
            return likeliest("type")
        case QuestionType.POSITION:
            return likeliest("region")
        case QuestionType.MAIN_LANDFORM:
            return likeliest("main", LANDFORMS)
        case QuestionType.ALL_LANDFORMS:
            main = likeliest("main", LANDFORMS)
            if len(closed_QK) > PLACES[HOLDS[LANDFORMS[-1]]]:
                there = [name for name in LANDFORMS if likeliest(HOLDS[name]) == "yes"] or [main]
            else:
                there = [name for name, row in zip(LANDFORMS, forms) if name == main or (row > 0).any()]
            return ", ".join(there)
    return LANDFORMS[int(forms[:, REGIONS.index(question.subject)].argmax())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "dataset", type=Path, help="tiles with truth that the model never saw; with texts too, its annotator"
    )
    parser.add_argument("--learned", type=Path, required=True, help="data set whose training tiles give the answers")
    parser.add_argument("--model", type=Path, default=shipped_model())
    parser.add_argument("--questions", type=int, default=400, help="of each type, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="simulated, unseen cities", help="of the data set in rows")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    data = Dataset(options.dataset)
    tiles = data.tiles()
    truths = data.truth()
    if not truths:
        raise SystemExit(f"{options.dataset} has no truth: give a data set that was built from simulated scenes.")
    train = questions_of(Dataset(options.learned), "train", options.seed)
    answers = candidates(train)
    tile_ids = tiles["tile_id"].to_list()
    asked = choose_questions(questions_about(data, tile_ids, options.seed), options.questions, options.seed)
    encoder, readout = _told(options.model)
    images = ToldImages(data, readout)
    wanted = sorted({question.tile_id for question in asked})
    kinds = ["targets" if truths[tile_id]["objects"] else "land" for tile_id in tile_ids]
    found = others_of(tiles, kinds, options.seed)
    if found.missing:
        raise SystemExit(f"{found.missing} tiles of {options.dataset} have none of another place: give more places.")
    steps: dict[str, list[str]] = {}
    if data.revisions():
        steps["annotator"] = annotator_answers(asked, data.texts(0))
    elsewhere = {one: truths[tile_ids[place]] for one, place in zip(tile_ids, found.position_T, strict=True)}
    told = {_WORDS: {}, "model": {}, "model told the truth": truths, "model told of another tile": elsewhere}
    for name, true in told.items():
        readout.ready(true, alone=name == _WORDS)
        steps[name] = answer(encoder, EncodedImages(encoder, images, wanted), asked, answers)
        if name in _READ:
            steps[_READ[name]] = [read_off(question, *readout.read[question.tile_id]) for question in asked]
    block = dict(zip(tiles["tile_id"], tiles["block"].astype(str)))
    said = {step: Asked(asked, given, train, answers) for step, given in steps.items()}
    rows = [_row(options.name, step, kind, one, block) for step, one in said.items() for kind in QUESTION_TYPES]
    command = f"python -m benchmarks.oracle_steps DATASET --learned DEMO --questions {options.questions}"
    merge_rows(options.out, rows, None, command, "one process")
    for row in rows:
        print(f"{row.encoder}: {row.metric} {row.shown(row.value)} of {row.n}; {row.floor_name} {row.shown(row.floor)}")


def _told(folder: Path) -> tuple[KnowLIPEncoder, ToldReadout]:
    """A model with a readout that can be told, and that readout."""
    model = load_model(folder)
    own = model.readout
    if own is None:
        raise ValueError(f"{folder} has no readout (model.readout): nothing can be told to it.")
    sizes = own.question_tokens.shape[1], own.from_fine.in_channels, own.from_fine.out_channels
    told = ToldReadout(*sizes, len(own.questions))
    told.load_state_dict(own.state_dict())
    model.readout = told.to(model.device).eval()
    return KnowLIPEncoder("shipped", model), told


def _row(data: str, step: str, kind: QuestionType, asked: Asked, block: Mapping[str, str]) -> Row:
    """Accuracy of a step on a type, beside the best that needs no image."""
    found = proportion(asked.hits(kind), [block[asked.questions[i].tile_id] for i in asked.rows_of(kind)])
    floors = {name: value for name, value in floors_of(asked, kind).items() if value is not None}
    best = max(floors, key=lambda name: floors[name])
    return Row(
        data=data,
        split="all",
        task="vqa",
        encoder=step,
        metric=f"{kind.replace('_', ' ')} accuracy",
        value=found.value,
        ci=found.ci,
        n=found.n,
        floor=floors[best],
        floor_name=best,
        note=found.note,
    )


if __name__ == "__main__":
    main()
