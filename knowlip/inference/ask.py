"""Answer questions about images, and about whole scenes window by window: with how sure the answer is, where its
evidence lies, what the wider and the narrower windows say, and why there is none where there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple, NotRequired, TypedDict

import numpy as np

from knowlip.base.progress import say, track
from knowlip.inference.caption import place_of
from knowlip.inference.chain import ScaleAnswer, chain_of_tile, chain_of_view
from knowlip.inference.evidence import DrawnEvidence, draw_evidence
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import open_model, say_unknown_sizes, say_what_is_unknown
from knowlip.inference.replies import SILENT, Asker, ModelReply, asker_of, coarse, refusing, said
from knowlip.inference.settings import AskConfig
from knowlip.inference.summary import SceneAnswer, scene_answer
from knowlip.inference.told import ToldRow, check_ending, small_picture, write_told
from knowlip.inference.views import (
    LEAST_VALID,
    CoarsePixels,
    ImageView,
    PictureView,
    ViewPart,
    chunks,
    images_in,
    view_of,
    windows_of,
)
from knowlip.inference.written import WrittenText, as_listed, unknown_words

_BATCH: Final = 16


class AnsweredWindow(TypedDict):
    """A window of a scene and what is said of it."""

    row: int
    column: int
    x: float
    """Left edge in pixels as they were shown."""
    y: float
    window_m: float | None
    lon: float | None
    """Middle, in degrees."""
    lat: float | None
    answer: str
    probability: float | None
    confidence: float | None
    refused: str | None
    reason: str | None


class AnsweredQuestion(TypedDict):
    """An image, a question about it and the answer."""

    image: str
    question: str
    answer: str
    """ "" where it is refused, or there is none for a whole scene."""
    metres_per_pixel: float | None
    """Of the image, as given or georeferenced; None where it is not known."""
    probability: float | None
    """Of the words, by the model; None of a sum over windows, and where it was not asked."""
    confidence: float | None
    """How often such an answer is right; None where that was not measured."""
    refused: str | None
    """"question", "resolution", "absent" or "unsure"; None where it answers."""
    reason: str | None
    """Why it is refused, a sentence."""
    kind: NotRequired[str]
    """Of the question, where it is one of the six."""
    all: NotRequired[list[WrittenText]]
    """Where more than one answer was asked for: best first."""
    evidence: NotRequired[DrawnEvidence]
    """Where it was asked for."""
    chain: NotRequired[list[ScaleAnswer]]
    """Where it was asked for: the same place from the widest window to the narrowest."""
    windows: NotRequired[list[AnsweredWindow]]
    """Of a scene that shows more ground than the model knows."""
    without_data: NotRequired[int]
    """Windows of it that were left out."""
    summary: NotRequired[SceneAnswer]
    """How the answer for the scene came about."""
    images: NotRequired[list[Any]]
    """Of several images: an :class:`AnsweredQuestion` of each."""
    failed: NotRequired[list[dict[str, str]]]
    """Of several images: {"image", "reason"} of those that could not be used."""


class AskedImage(NamedTuple):
    """An answer, the same as rows of a table, and the part of the image that it rests on."""

    result: AnsweredQuestion
    rows: list[ToldRow]
    at: "LookedAt | None"
    unknown: Sequence[Path] = ()
    """Images whose pixels have no known size on the ground."""


class LookedAt(NamedTuple):
    """A part of an image and what was said of it."""

    look: ViewPart
    image: TakenImage
    reply: ModelReply


def ask(config: AskConfig) -> AnsweredQuestion:
    """The answer to a question about an image, about the windows of a scene and the scene, or about several images.

    Raises:
        ValueError: no such model, no image that can be used, or a question that is no Unicode or longer than the model
            reads.
    """
    check_ending(config.out)
    model, folder = open_model(config.model, config.device)
    asker, notes = asker_of(model, folder, config.question, config.refuse, config.generation)
    if unknown := unknown_words(model, config.question):
        say(unknown)
    for note in notes:
        say(f"  note: {note}")
    if config.tile:
        return ask_tile(asker, config)
    paths = images_in([config.image, *config.also])
    # The folder of a product is an image; a folder of images is several, also where it holds one.
    if paths == [config.image] or (len(paths) == 1 and (config.chain or config.evidence is not None)):
        found = ask_image(asker, paths[0], config)
        say_unknown_sizes(found.unknown)
        if config.out is not None:
            write_told(config.out, config.question, found.rows, [])
        return found.result
    return _ask_several(asker, paths, config)


def _ask_several(asker: Asker, paths: Sequence[Path], config: AskConfig) -> AnsweredQuestion:
    """Each of several images; one that cannot be used is told, and the others go on."""
    if config.evidence is not None or config.chain:
        raise ValueError("--evidence and --chain belong to one image: give one.")
    # One that fails must not take with it what the others have cost: the table is written for those that are there.
    results: list[AnsweredQuestion] = []
    rows: list[ToldRow] = []
    failed: list[dict[str, str]] = []
    unknown: list[Path] = []
    for path in track(paths, "ask about images"):
        try:
            one = ask_image(asker, path, config)
        except ValueError as error:
            say(f"  left out: {error}")
            failed.append({"image": str(path), "reason": str(error)})
            continue
        results.append(one.result)
        rows += one.rows
        unknown += one.unknown
    say_unknown_sizes(unknown)
    if not results:
        more = f" ({len(failed)} images fail; this is the first.)" if len(failed) > 1 else ""
        raise ValueError((failed[0]["reason"] if failed else "There is no image.") + more)
    if config.out is not None:
        write_told(config.out, config.question, rows, failed)
    together: AnsweredQuestion = {
        **_result(str(config.image), config.question, None, asker, SILENT),
        "images": list(results),
        "failed": failed,
    }
    return together


def ask_image(asker: Asker, path: Path, config: AskConfig) -> AskedImage:
    """One image or scene.

    Args:
        asker: the question.
        path: 8-bit picture, SAR raster or product.
        config: pixel size, evidence, chain, whether to refuse.

    Raises:
        ValueError: it cannot be read or used.
    """
    try:
        view = view_of(path, asker.model, config.metres_per_pixel, config.refuse)
    except CoarsePixels as error:
        result = refused_image(path, asker, refusing(coarse(error)), config.metres_per_pixel)
        return AskedImage(result, [ToldRow(_facts(result), None)], None)
    return ask_view(asker, view, config)


def refused_image(path: Path, asker: Asker, reply: ModelReply, metres_per_pixel: float | None) -> AnsweredQuestion:
    """What is said of an image whose pixels are too large to be shown to the model."""
    return _result(str(path), asker.question, metres_per_pixel, asker, reply)


def ask_view(asker: Asker, view: ImageView, config: AskConfig) -> AskedImage:
    """An image that is open, with evidence and chain where they are asked for.

    Raises:
        ValueError: no window of a scene holds data, or a place that lies outside.
    """
    for note in view.notes:
        say(f"  note: {note}")
    found = answer_view(asker, view)
    if config.evidence is not None or config.chain:
        _rest(asker, view, found, config)
    return found


def answer_view(asker: Asker, view: ImageView) -> AskedImage:
    """A question about an image that is open: about all of it, or its windows.

    Raises:
        ValueError: no window of a scene holds data.
    """
    name, question = str(view.path), asker.question
    height, width = view.shape
    coarsest = max(view.resolution_m or 0.0, view.metres or 0.0) or None
    if not view.whole and (refusal := asker.beforehand(coarsest)) is not None:
        result = _result(name, question, view.metres, asker, refusing(refusal))
        return AskedImage(result, [ToldRow(_facts(result), view.outline(0, 0, width, height))], None)
    if view.whole:
        (look,) = view.looks
        image = view.taken(view.read(look), look)
        unknown = say_what_is_unknown(asker.model, [(view.path, image)])
        (reply,) = asker.replies([image], coarsest)
        result = _result(name, question, view.metres, asker, reply)
        row = ToldRow(_facts(result), view.outline(0, 0, width, height), small_picture(image.pixels))
        return AskedImage(result, [row], LookedAt(look, image, reply), unknown)
    return _answer_windows(asker, view)


def _answer_windows(asker: Asker, view: ImageView) -> AskedImage:
    """Every window of a scene that holds data, and what they say of the scene together."""
    name, rows, windows, replies = str(view.path), list[ToldRow](), list[AnsweredWindow](), list[ModelReply]()
    shares, looked = dict(zip(view.looks, view.shares())), list[float]()
    best: LookedAt | None = None
    parts, total = chunks(windows_of(view, LEAST_VALID), _BATCH), -(-len(view.looks) // _BATCH)
    for some in track(parts, f"ask about windows of {view.path.name}", total=total):
        images = [view.taken(pixels, look) for look, pixels in some]
        for (look, _), image, reply in zip(some, images, asker.replies(images, view.resolution_m)):
            shape = view.outline(look.left, look.top, look.left + look.side, look.top + look.side)
            window: AnsweredWindow = {**place_of(view, look, shape), **said(reply)}  # type: ignore[typeddict-item]
            windows.append(window)
            rows.append(
                ToldRow({"image": name, "question": asker.question, **window}, shape, small_picture(image.pixels))
            )
            replies.append(reply)
            looked.append(float(shares[look]))
            if _rests(reply) > (_rests(best.reply) if best else (0.0, -1.0)):
                best = LookedAt(look, image, reply)
    if not windows:
        raise ValueError(f"No window of {view.path} holds data in {LEAST_VALID:.0%} of its pixels.")
    totals = asker.calibration.totals.get(asker.read.subject) if asker.calibration else None
    summary = scene_answer(asker.read, replies, np.array(looked), totals)
    result = _result(name, asker.question, view.metres, asker, SILENT)
    result |= {"windows": windows, "without_data": len(view.looks) - len(windows)}
    refused = [reply.refusal for reply in replies if reply.refusal is not None]
    if summary is not None:
        result |= {"answer": summary["answer"], "summary": summary}
    elif refused and len(refused) == len(replies):
        result |= {"refused": refused[0].kind, "reason": f"All {len(replies)} windows are refused: {refused[0].reason}"}
    return AskedImage(result, rows, best)


def _rests(reply: ModelReply) -> tuple[float, float]:
    """By what a window counts as that on which the answer about a scene rests: a number, then how sure it is."""
    if reply.refusal is not None:
        return 0.0, -1.0
    number = float(reply.answer) if reply.answer.isdigit() else 0.0
    return number, reply.confidence if reply.confidence is not None else reply.probability or 0.0


def _result(image: str, question: str, metres: float | None, asker: Asker, reply: ModelReply) -> AnsweredQuestion:
    result: AnsweredQuestion = {"image": image, "question": question, "metres_per_pixel": metres, **said(reply)}  # type: ignore[typeddict-item]
    if asker.read.type is not None:
        result["kind"] = str(asker.read.type)
    if len(reply.texts) > 1:
        result["all"] = as_listed(reply.texts)
    return result


def _facts(result: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as a row of a table."""
    names = ("image", "question", "answer", "probability", "confidence", "refused", "reason", "metres_per_pixel")
    return {name: result[name] for name in names}


def _rest(asker: Asker, view: ImageView, found: AskedImage, config: AskConfig) -> None:
    """Evidence and chain of an answer, into its result."""
    at = found.at
    words = config.evidence_of or (at.reply.answer if at else "")
    peak: tuple[float, float] | None = None
    if config.evidence is not None and (at is None or not words):
        say("  note: There is no answer, so nothing is drawn; --evidence_of draws the evidence of other words.")
    elif config.evidence is not None and at is not None:
        drawn = draw_evidence(asker.model, at.image, asker.words, words, config.evidence_by, config.evidence)
        drawn, peak = _placed(view, at, drawn)
        found.result["evidence"] = drawn
    if config.chain:
        found.result["chain"] = chain_of_view(asker, view, _place(view, at, peak, config.at))


def _placed(view: ImageView, at: LookedAt, drawn: DrawnEvidence) -> tuple[DrawnEvidence, tuple[float, float] | None]:
    """Evidence with its box in pixels of the whole view and in degrees, and the middle of that box."""
    if drawn["box"] is None:
        return drawn, None
    scale = at.look.side / max(at.image.pixels.shape) if not view.whole else 1.0
    left, top, right, bottom = (scale * value for value in drawn["box"])
    box = [at.look.left + left, at.look.top + top, at.look.left + right, at.look.top + bottom]
    shape = view.outline(*box)
    corners = None if shape is None else [round(float(value), 7) for value in shape.bounds]
    placed: DrawnEvidence = {**drawn, "box": [round(value, 2) for value in box], "box_lonlat": corners}
    if not view.whole:
        placed["window"] = {"row": at.look.row, "column": at.look.column}
    return placed, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def _place(view: ImageView, at: LookedAt | None, peak: tuple[float, float] | None, named: str) -> tuple[float, float]:
    """Column and row of the place whose scales are asked about.

    Raises:
        ValueError: a place that is none, or lies outside of the image.
    """
    height, width = view.shape
    if named:
        try:
            lon, lat = (float(value) for value in named.split(","))
        except ValueError:
            raise ValueError(f'--at is {named!r}: give "lon,lat" in degrees, e.g. "4.5,51.9".') from None
        found = view.pixel_at(lon, lat)
        if found is None:
            raise ValueError(f"{view.path} does not say where it lies: leave --at out.")
        if not (0 <= found[0] < width and 0 <= found[1] < height):
            raise ValueError(f"--at {named} lies outside of {view.path}.")
        return found
    if peak is not None:
        return peak
    if at is not None and not view.whole:
        return at.look.left + at.look.side / 2, at.look.top + at.look.side / 2
    return width / 2, height / 2


def ask_tile(asker: Asker, config: AskConfig) -> AnsweredQuestion:
    """A tile of a data set, and with `config.chain` its parents.

    Raises:
        ValueError: no data set, or no such tile.
    """
    chain = chain_of_tile(asker, config.image, config.tile)
    own = chain[-1]
    name = f"{config.image}: {config.tile}"
    view = PictureView(Path(name), own.image)
    found = AskedImage(
        _result(name, config.question, view.metres, asker, own.reply), [], LookedAt(view.looks[0], own.image, own.reply)
    )
    if config.evidence is not None:
        _rest(asker, view, found, replace(config, chain=False))
    if config.chain:
        found.result["chain"] = [one.said for one in chain]
    if config.out is not None:
        write_told(
            config.out, config.question, [ToldRow(_facts(found.result), own.shape, small_picture(own.image.pixels))], []
        )
    return found.result


def show(result: AnsweredQuestion) -> str:
    """The answers, why there is none, and where their evidence is drawn."""
    asked = result.get("images", [result])
    several = len({one["question"] for one in asked}) > 1
    starts = [f"{one['image']}: " + (f"{one['question']} " if several else "") for one in asked]
    lines = [show_one(one, start if "images" in result else "") for one, start in zip(asked, starts)]
    lines += [f"left out: {one['image']}: {one['reason']}" for one in result.get("failed", ())]
    if any(_refused(one) for one in asked):
        lines.append("--refuse false gives an answer where one is refused")
    return "\n".join(lines)


def _refused(result: AnsweredQuestion) -> bool:
    """Whether an image, a window of it, or a link of its chain is refused."""
    parts: list[Mapping[str, Any]] = [result, *result.get("windows", ()), *result.get("chain", ())]
    return any(one["refused"] for one in parts)


def show_one(result: AnsweredQuestion, start: str = "") -> str:
    """One image as lines."""
    lines = [text["text"] for text in result["all"]] if "all" in result else [_line(result)]
    lines = [start + line for line in lines]
    if "summary" in result:
        told = result["summary"]
        between = ""
        if "interval" in told:
            low, high = told["interval"]
            between = f" {low} to {high} hold the true number in {told['level']:.0%} of scenes (simulated ones)."
        lines.append(f"  {told['how']}{between}")
    for window in result.get("windows", ()):
        where = f"column {window['column']}, row {window['row']}"
        lines.append(f"  {where}: {_line(window)}")
    if result.get("without_data"):
        lines.append(f"  {result['without_data']} windows without data are left out")
    for link in result.get("chain", ()):
        lines.append(f"  {link['scale']} ({link['window_m']:.0f} m): {_line(link)}")
    if "evidence" in result:
        lines.append(f"evidence of {result['evidence']['of']!r}: {result['evidence']['picture']}")
    return "\n".join(lines)


def _line(told: Mapping[str, Any]) -> str:
    """An answer with how sure it is, or why there is none."""
    if told["reason"]:
        return f"no answer: {told['reason']}"
    if not told["answer"]:
        return "no answer for the whole scene"
    sure = told["confidence"]
    return str(told["answer"]) + (f" (confidence {sure:.0%})" if sure is not None else "")
