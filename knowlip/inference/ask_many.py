"""`knowlip ask`: one question, or all of a file about the same images; the model is opened once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from knowlip.base.documents import read_limited
from knowlip.base.progress import say, track
from knowlip.inference.ask import AnsweredQuestion, ask, ask_image, show
from knowlip.inference.opened import open_model, say_unknown_sizes
from knowlip.inference.replies import Asker, asker_of
from knowlip.inference.settings import AskConfig
from knowlip.inference.told import ToldRow, check_ending, write_told
from knowlip.inference.views import images_in
from knowlip.inference.written import unknown_words

__all__ = ["ask_all", "read_questions", "show"]

_MOST: Final = 1000
_SHOWN: Final = 120
"""Characters of a question in a sentence about it."""
_MOST_BYTES: Final = 1 << 20


def ask_all(config: AskConfig) -> AnsweredQuestion:
    """The answer to a question, see :func:`ask`; of a file of questions all answers, as of several images.

    Raises:
        ValueError: no such file, none of its questions can be asked, or what :func:`ask` refuses.
    """
    if config.questions is None:
        return ask(config)
    questions = read_questions(config.questions)
    check_ending(config.out)
    model, folder = open_model(config.model, config.device)
    paths = images_in([config.image, *config.also])
    askers, failed = list[Asker](), list[dict[str, str]]()
    for question in questions:
        try:
            asker, notes = asker_of(model, folder, question, config.refuse, config.generation)
        except ValueError as error:
            failed.append(_left_out(str(config.image), question, error))
            continue
        for note in (*notes, unknown_words(model, question)):
            if note:
                say(f"  note: {question}: {note}")
        askers.append(asker)
    results, rows, unknown = list[AnsweredQuestion](), list[ToldRow](), set[Path]()
    pairs = [(path, asker) for path in paths for asker in askers]
    # One that fails must not take with it what the others have cost: it is told, and counts in the exit code.
    for path, asker in track(pairs, "ask the questions"):
        one = replace(config, question=asker.question, questions=None)
        try:
            found = ask_image(asker, path, one)
        except ValueError as error:
            failed.append(_left_out(str(path), asker.question, error))
            continue
        results.append(found.result)
        rows += found.rows
        unknown |= {*found.unknown}
    say_unknown_sizes(sorted(unknown))
    if not results:
        raise ValueError(failed[0]["reason"])
    if config.out is not None:
        write_told(config.out, f"{len(questions)} questions of {config.questions.name}", rows, failed)
    together: AnsweredQuestion = {
        "image": str(config.image),
        "question": "",
        "answer": "",
        "metres_per_pixel": config.metres_per_pixel,
        "probability": None,
        "confidence": None,
        "refused": None,
        "reason": None,
        "images": list(results),
        "failed": failed,
    }
    return together


def _left_out(image: str, question: str, error: ValueError) -> dict[str, str]:
    asked = question if len(question) <= _SHOWN else f"{question[:_SHOWN]}..."
    say(f"  left out: {asked}: {error}")
    return {"image": image, "reason": f"{asked}: {error}"}


def read_questions(path: Path) -> Sequence[str]:
    """The questions of a text file, one a line; empty lines, and those that begin with #, are none.

    Raises:
        ValueError: no such file, no text in UTF-8, none, more than a thousand, or one twice.
    """
    try:
        lines = read_limited(path, _MOST_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8: write one question a line.") from None
    questions = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not questions:
        raise ValueError(f"{path} holds no question: write one a line.")
    if len(questions) > _MOST:
        raise ValueError(f"{path} holds {len(questions):,} questions; {_MOST:,} are asked at most.")
    if twice := next((one for at, one in enumerate(questions) if one in questions[:at]), ""):
        raise ValueError(f"{path} holds a question twice: {twice:.200}")
    return questions
