"""What training reads: the pixels, the tokenised texts and the tokenizer of one data set."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd

from knowlip.base.files import sha256, whole_file
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import Mention, by_tile
from knowlip.dataset.reader import widths_m
from knowlip.language.corruption import with_seen
from knowlip.language.definitions import TileTruth
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn
from knowlip.language.groundings import Grounding, contradict, grounding_of
from knowlip.language.marks import joined, sentences_of
from knowlip.language.questions import OF_TARGETS, Posed, Question
from knowlip.language.statements import Evidence
from knowlip.language.true_groundings import put_right, turned_truth
from knowlip.language.truth import judge
from knowlip.language.turning import text_may_turn
from knowlip.language.words import plain_words
from knowlip.models.card import ModelCard
from knowlip.models.config import ModelConfig, TextConfig
from knowlip.models.tokenizer import TextTokenizer
from knowlip.training.augment import GreyScale
from knowlip.training.groundings import true_mention
from knowlip.training.settings import DataConfig
from knowlip.training.texts import (
    Reading,
    SubTextIds,
    TextLengths,
    TileText,
    cached_part,
    tile_text,
    tokenise,
    words_read,
)
from knowlip.training.tiles import Pixels, open_pixels

Kept = TypeVar("Kept")
_MOST_KEPT = 20_000
"""Tiles and turns whose targets and questions are kept, about 100 MB."""
_SAMPLE = 500
"""Tiles whose texts are looked at for what cannot be turned."""
_ASKED = 8
"""Tiles that are asked for other words before none are found."""
_Said = tuple[str, str, Evidence]
"""Words of a sub-text, their marks, and what it rests on without marks."""


class CorpusSettings(Protocol):
    """What of a training's settings decides which tiles and words it reads."""

    @property
    def dataset(self) -> Path: ...
    @property
    def out(self) -> Path: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def vocabulary(self) -> Path | None: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def model(self) -> ModelConfig: ...
    @property
    def data(self) -> DataConfig: ...


class Corpus:
    """Training tiles in a fixed order (by tile id) with their texts at one revision.

    Args:
        dataset: annotated data set.
        tokenizer: for the texts.
        tile_ids: accepted tiles of the training split.
        pixels: of these tiles in this order.
        reads: says which sentences are read; all where not given.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizer: TextTokenizer,
        tile_ids: list[str],
        pixels: Pixels,
        reads: TextConfig | None = None,
    ) -> None:
        # What is known of a tile stands in arrays by its number; the texts are another revision's after each SCIO pass.
        self.tokenizer, self.tile_ids, self.pixels = tokenizer, tile_ids, pixels
        self.reading = Reading() if reads is None else Reading(reads.contrast_on, reads.grounded_on)
        """Which sentences contrast, and matching and infilling read."""
        self.drop_noise = False
        """Whether sub-texts that screening called noise are left out of what training sees, from the next revision
        on."""
        self.truth_teaches = False
        """Whether what is grounded comes from the truth of tiles, where it settles it."""
        self._parts: dict[tuple[str, str], SubTextIds] = {}
        tiles = dataset.tiles().set_index("tile_id").loc[tile_ids]
        self.tiles = tiles.reset_index()
        """Their rows of the index."""
        self.scale = GreyScale.of(tiles)
        """What grey levels of each tile mean."""
        self.width_m_N = widths_m(tiles)
        """Width of each tile on the ground in metres, float32; NaN where it is not known."""
        self.shard_N = tiles["shard"].astype("category").cat.codes.to_numpy(int)
        """Number of the file that holds each tile."""
        self.ask([])
        self._dataset = dataset
        self.read_texts(dataset, 0)
        self.blocks = tiles["block"].astype(str).to_list()
        """The place of each tile."""
        self.groups = [f"{kind} {scale}" for kind, scale in zip(self.sets, tiles["scale"])]
        """Instruction set and scale of each tile: what an epoch may be balanced over."""
        self.order_length_N = self.lengths.part_N8.sum(1)
        """Tokens of the annotator's texts: by these, texts of about equal length are put together. Later revisions
        change texts, but not the order in which they are read."""
        self.text_key = self.texts_hash()[:16]
        """Identifies the annotator's texts."""

    @classmethod
    def open(
        cls,
        dataset: Dataset,
        config: CorpusSettings,
        sentences: Sequence[str] = (),
        tokenizer: TextTokenizer | None = None,
    ) -> "Corpus":
        """Read tiles and texts of the training split; train or read the tokenizer, where none is given.

        Raises:
            ValueError: not annotated, or no training tiles.
        """
        if not dataset.revisions():
            raise ValueError(f"{config.dataset} has no texts yet: annotate it first.")
        texts = dataset.texts(0)
        tile_ids = sorted(set(dataset.tiles(split="train")["tile_id"]) & set(texts["tile_id"]))
        if len(tile_ids) < config.batch_size:
            raise ValueError(
                f"{config.dataset} has {len(tile_ids)} annotated training tiles, fewer than one batch of "
                f"{config.batch_size}: add scenes, loosen the quality filter, or lower batch_size."
            )
        tokenizer = _tokenizer(texts[texts["tile_id"].isin(tile_ids)], config, sentences, tokenizer)
        size, cache, data = config.model.vision.image_size, config.out / "cache", config.data
        pixels = open_pixels(dataset, tile_ids, size, cache, data.pixels, data.workers)
        return cls(dataset, tokenizer, tile_ids, pixels, config.model.text)

    def read_texts(self, dataset: Dataset, revision: int) -> None:
        """Take the texts of another revision."""
        table = dataset.texts(revision)
        self.table = table[table["tile_id"].isin(self.tile_ids)].sort_values(["tile_id", "slot"], ignore_index=True)
        by_tile = tokenise(self.table, self.tokenizer, self.reading)
        self.texts: list[TileText] = [by_tile[tile_id] for tile_id in self.tile_ids]
        self.seen = [text.without_noise() for text in self.texts] if self.drop_noise else self.texts
        """The texts as training sees them."""
        self.lengths = TextLengths.of(self.seen)
        """Tokens of these."""
        apart = any(text.seen is not None for text in self.seen)
        self.grounded_lengths = TextLengths.of([text.grounded for text in self.seen]) if apart else self.lengths
        """Tokens of what matching and infilling read of these."""
        for reads, name, texts in (
            (self.reading.contrast_on, "contrast_on", self.seen),
            (self.reading.grounded_on, "grounded_on", [text.grounded for text in self.seen]),
        ):
            if reads != "all" and not any(part.ids for text in texts for part in text.parts):
                raise ValueError(
                    f"No sentence of {dataset.path} rests on the image, so model.text.{name}: {reads} leaves nothing "
                    "to read: set it to all, or annotate with an annotator that looks."
                )
        self._dimensions: list[str] = self.table["dimension"].to_list()
        self._said = list(zip(*(self.table[name].to_list() for name in ("text", "marks", "evidence"))))
        self._under: dict[str, set[str]] | None = None
        self._groundings: dict[tuple[int, int], Grounding] = {}  # of the texts before
        self.sets: list[str] = self.table["instruction_set"].to_list()[:: len(self.texts[0].parts)]
        self._rows_of = {name: np.flatnonzero(np.array(self.sets) == name) for name in set(self.sets)}

    def texts_hash(self) -> str:
        """SHA-256 of the texts' table; without marks that of former versions, so that their trainings go on."""
        table = self.table if self.table["marks"].any() else self.table.drop(columns="marks")
        return sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())

    def row(self, tile: int, slot: int) -> int:
        """Row of `table` that holds sub-text `slot` (0-7) of tile number `tile`."""
        return tile * len(self.texts[tile].parts) + slot

    def words(self, tile: int, slot: int) -> str:
        """A sub-text without its label, as matching and infilling read it; "" where they read nothing of it."""
        return self.read_of(*self._said[self.row(tile, slot)])

    def read_of(self, text: str, marks: str = "", evidence: Evidence = "visual") -> str:
        """What matching and infilling read of a sub-text; "" for nothing."""
        return words_read(text, marks, evidence, self.reading.grounded_on) or ""

    def dimension(self, tile: int, slot: int) -> str:
        """The label of a sub-text."""
        return self._dimensions[self.row(tile, slot)]

    @property
    def used_under(self) -> dict[str, set[str]]:
        """For each sub-text (see :func:`plain_words`), the dimensions that use it somewhere."""
        if self._under is None:
            self._under = {}
            for dimension, said in zip(self._dimensions, self._said):
                self._under.setdefault(plain_words(self.read_of(*said)), set()).add(dimension)
        return self._under

    def prompt(self, tile: int, slots: Collection[int]) -> str:
        """What matching and infilling read of the tile's text, with [MASK] for the content of some sub-texts."""
        read = [(self.dimension(tile, slot), self.words(tile, slot)) for slot in range(len(self.texts[tile].parts))]
        return " ".join(
            f"{dimension}: [MASK]" if position in slots else f"{dimension}: {text.rstrip('. ')}."
            for position, (dimension, text) in enumerate(read)
            if position in slots or self.texts[tile].grounded.parts[position].ids
        )

    def with_text(self, tile: int, slot: int, text: str, marks: str = "") -> TileText:
        """The tile's text with another sub-text at one position, which rests on the image where it has no marks."""
        said = self._of(tile)
        said[slot] = text, marks, "visual"
        return self._text(tile, said)

    def rewritten(self, tile: int, slot: int, text: str) -> tuple[str, str]:
        """A sub-text and its marks with the decoder's words in place of what the decoder read and wrote: where that are
        the sentences that rest on the image, those on place and general knowledge stay."""
        old, marks, _ = self._said[self.row(tile, slot)]
        if self.reading.grounded_on == "all" or not marks or not text.strip():
            return text, ""
        return with_seen(old, marks, text)

    def turned(self, tile: int, turn: Turn) -> TileText | None:
        """The tile's text for turned pixels; None where it names a direction that is not understood.

        Sentences about the place keep their words: they name no directions in the image, but North Holland.
        """
        said: list[_Said] = []
        for words, marks, evidence in self._of(tile):
            turned = turned_sentences(words, marks, turn)
            if turned is None:
                return None
            said.append((*turned, evidence))
        text = self._text(tile, said)
        return text.without_noise() if self.drop_noise else text

    def cannot_turn(self, turns: Sequence[Turn]) -> tuple[int, int]:
        """Tiles whose texts name a direction that is not understood in one of the turns, and how many were looked at:
        a sample, since each text is read once for each turn."""
        tiles = np.unique(np.linspace(0, len(self.tile_ids) - 1, min(_SAMPLE, len(self.tile_ids))).astype(int)).tolist()
        moving = [turn for turn in turns if turn != Turn()]
        still = sum(
            any(turned_sentences(words, marks, turn) is None for words, marks, _ in self._of(tile) for turn in moving)
            for tile in tiles
        )
        return still, len(tiles)

    def grounding(self, tile: int, turn: int = 0) -> Grounding:
        """What the tile's text claims where it is believed, put right where truth teaches, for pixels of the turn of
        this number."""
        found = self._groundings.get((tile, turn))
        if found is None:
            noise = self.texts[tile].noise
            said = {
                self.dimension(tile, slot): self.read_of(*turned, evidence)
                for slot, (words, marks, evidence) in enumerate(self._of(tile))
                if slot not in noise and (turned := turned_sentences(words, marks, Turn.of(turn))) is not None
            }
            found = grounding_of(self.sets[tile], said)
            if true := self.teacher(tile):
                found = put_right(found, turned_truth(true, Turn.of(turn)))
            _keep(self._groundings, (tile, turn), found)
        return found

    @cached_property
    def mentions(self) -> dict[str, Mention]:
        """What the annotator counts and points at, by tile; read when a training first asks for it."""
        return by_tile(self._dataset.mentions())

    @cached_property
    def truths(self) -> Mapping[str, TileTruth]:
        """Truth of the tiles that have one, by tile; read when a pass first asks for it."""
        return self._dataset.truth()

    def verdict(self, tile: int, slot: int, words: str) -> bool | None:
        """Whether words at one position of a tile's text are true; None where nothing of them can be verified, or
        nothing is known about the tile."""
        truth = self.truths.get(self.tile_ids[tile])
        if truth is None or not words:
            return None
        return judge(self.sets[tile], self.dimension(tile, slot), words, truth, float(self.tiles["window_m"][tile]))

    def teacher(self, tile: int) -> TileTruth | None:
        """Truth of a tile, where it is to teach the readout."""
        return self.truths.get(self.tile_ids[tile]) if self.truth_teaches else None

    def answered(self, names: Sequence[str]) -> set[str]:
        """Which of the first closed questions some tile's grounding answers."""
        found = np.zeros(len(names), bool)
        for tile in range(len(self.tile_ids)):
            found |= self.grounding(tile).answers_QK[: len(names)].any(1)
            if found.all():
                break
        return {name for name, one in zip(names, found.tolist(), strict=True) if one}

    def mention(self, tile: int) -> Mention | None:
        """What the annotator counts and points at in a tile; None where it says nothing, or where screening called its
        number or place of targets noise. The targets themselves, where truth teaches."""
        if true := self.teacher(tile):
            return true_mention(self.tile_ids[tile], true)
        noise = {self.dimension(tile, slot) for slot in self.texts[tile].noise}
        return None if noise & {"Count", "Location"} else self.mentions.get(self.tile_ids[tile])

    def ask(self, questions: Sequence[Question]) -> None:
        """Take questions about the tiles, which batches ask."""
        place = {tile_id: tile for tile, tile_id in enumerate(self.tile_ids)}
        self._questions: dict[int, list[Question]] = {}
        for question in dict.fromkeys(questions):
            self._questions.setdefault(place[question.tile_id], []).append(question)
        self._asked: dict[tuple[int, int], list[tuple[Posed, bool]]] = {}

    def questions_about(self, tile: int, turn: int = 0) -> list[tuple[Posed, bool]]:
        """The questions about a tile that is turned, each with whether it asks of targets."""
        found = self._asked.get((tile, turn))
        if found is None:
            found = []
            for question in self._questions.get(tile, []):
                posed = Posed(question.question, question.answer).turned(Turn.of(turn), sure=True)
                if posed is None:
                    raise ValueError(f"A question cannot be turned with its tile: {question.question!r}.")
                found.append((posed, question.type in OF_TARGETS))
            _keep(self._asked, (tile, turn), found)
        return found

    def altered(self, tile: int, turn: int, text: TileText, uniform: Sequence[float]) -> tuple[TileText, int | None]:
        """A text with the words of another tile in place of one sub-text, of the same instruction set and dimension,
        which say something else.

        Args:
            tile, turn: of the text.
            text: as matching reads it.
            uniform: two numbers in [0, 1): which sub-text, and which tile is asked first.

        Returns:
            The text and the position that was altered; the text as it is and None where no other words were found.
        """
        read = [slot for slot, part in enumerate(text.parts) if part.ids and slot not in text.hidden]
        others = self._rows_of[self.sets[tile]]
        if not read or len(others) < 2:
            return text, None
        slot = read[int(uniform[0] * len(read))]
        dimension, own = self.dimension(tile, slot), self.words(tile, slot)
        start = int(uniform[1] * len(others))
        for step in range(_ASKED):
            other = int(others[(start + step * step) % len(others)])
            words, marks, evidence = self._said[self.row(other, slot)]
            turned = turned_sentences(words, marks, Turn.of(turn))
            theirs = self.words(other, slot)
            if turned is None or not theirs or not contradict(self.sets[tile], dimension, own, theirs):
                continue
            parts = list(text.parts)
            parts[slot] = cached_part(self._parts, self.tokenizer, dimension, self.read_of(*turned, evidence))
            return TileText(parts, text.hidden, 0), slot
        return text, None

    def _of(self, tile: int) -> list[_Said]:
        """Words, marks and evidence of a tile's sub-texts."""
        first = self.row(tile, 0)
        return self._said[first : first + len(self.texts[tile].parts)]

    def _text(self, tile: int, said: Sequence[_Said]) -> TileText:
        """The text of a tile with these sub-texts."""
        dimensions = [self.dimension(tile, slot) for slot in range(len(said))]
        contrast, grounded = ([words_read(*one, on) for one in said] for on in self.reading)
        noise = self.texts[tile].noise
        return tile_text(self._parts, self.tokenizer, dimensions, contrast, grounded, noise)


def _keep(kept: dict[tuple[int, int], Kept], key: tuple[int, int], value: Kept) -> None:
    """Keep what was computed for a tile and turn; of large data sets, where tiles seldom come back, little is kept."""
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[key] = value


def turned_sentences(text: str, marks: str, turn: Turn) -> tuple[str, str] | None:
    """A sub-text and its marks for turned pixels, sentences that rest on the place as they are; None where a direction
    is not understood."""
    if not marks:
        new = _turned_words(text, turn)
        return None if new is None else (new, "")
    sentences = []
    for one in sentences_of(text, marks):
        words = one.text if one.evidence == "geo" else _turned_words(one.text, turn)
        if words is None:
            return None
        sentences.append(one._replace(text=words))
    return joined(sentences)


def _turned_words(words: str, turn: Turn) -> str | None:
    """Words for turned pixels. Nobody knows whose they are: an annotator may be any model, so that all places in them
    must be understood."""
    return words if turn == Turn() else turn_words(words, turn) if text_may_turn(words) else None


def _tokenizer(
    texts: pd.DataFrame, config: CorpusSettings, sentences: Sequence[str], given: TextTokenizer | None
) -> TextTokenizer:
    """The given one, BERT's where a vocabulary is given, else the run's own, trained once; kept in the run folder."""
    path: Path = config.out / "tokenizer.json"
    # Of a run that has begun: what an attempt with other settings left before it was refused is not taken.
    begun = any((config.out / name).is_file() for name in ("config.yaml", "checkpoint.pt"))
    if path.is_file() and begun:
        return TextTokenizer.from_json(path.read_text())
    if given is not None:
        tokenizer = given
    elif config.vocabulary is not None:
        tokenizer = TextTokenizer.from_vocabulary(config.vocabulary)
    else:
        lines = (texts["dimension"] + ": " + texts["text"]).to_list()
        tokenizer = TextTokenizer.train([*lines, *sentences, *sentences], config.vocab_size)  # twice: rarer is dropped
    with whole_file(path) as part:
        part.write_text(tokenizer.to_json())
    return tokenizer


def model_card(dataset: Dataset, corpus: Corpus, revision: int) -> ModelCard:
    """What a model must carry to be used rightly: the data it knows and how its pixels came to be."""
    tiles = dataset.tiles(split="train")
    scale = tiles["metres_per_pixel"] * tiles["proj:shape"].map(lambda shape: shape[0]) / corpus.pixels.shape[1]
    known = scale.dropna()  # imported sets may not tell
    return {
        "dataset_fingerprint": dataset.fingerprint,
        "revision": revision,
        "train_blocks": sorted(set(tiles["block"])),
        "tiles": len(corpus.tile_ids),
        "quantiser": sorted(set(tiles["quantiser"])),
        "metres_per_pixel": [float(known.min()), float(known.max())] if len(known) else [],
        "windows_m": sorted({float(window) for window in tiles["window_m"].dropna()}, reverse=True),
        "sensors": sorted(set(tiles["platform"])),
    }
