"""Answer questions about an image."""

from typing import NotRequired, TypedDict

from knowlip.base.documents import check_text
from knowlip.base.progress import say
from knowlip.inference.evidence import DrawnEvidence, draw_evidence
from knowlip.inference.images import read_image
from knowlip.inference.opened import open_model, say_what_is_unknown
from knowlip.inference.settings import AskConfig
from knowlip.inference.written import WrittenText, as_listed, question_tokens, unknown_words, write


class AnsweredQuestion(TypedDict):
    """An image, a question about it and the answer."""

    image: str
    question: str
    answer: str
    metres_per_pixel: float | None
    """Of the image, as given or georeferenced; None where it is not known."""
    all: NotRequired[list[WrittenText]]
    """Where more than one answer was asked for: best first."""
    evidence: NotRequired[DrawnEvidence]
    """Where it was asked for."""


def ask(config: AskConfig) -> AnsweredQuestion:
    """The answer to a question about an image: the content of a hole behind the question.

    Raises:
        ValueError: no such model, an image that cannot be read, or a question that is no Unicode or longer than the
            model reads.
    """
    check_text(config.question, "The question")
    model, _ = open_model(config.model, config.device)
    question_tokens(model, config.question)
    if unknown := unknown_words(model, config.question):
        say(unknown)
    image = read_image(config.image, config.metres_per_pixel)
    say_what_is_unknown(model, [(config.image, image)])
    texts = write(model, [image], [config.question], config.generation)[0]
    result: AnsweredQuestion = {
        "image": str(config.image),
        "question": config.question,
        "answer": texts[0].text,
        "metres_per_pixel": image.metres_per_pixel,
    }
    if len(texts) > 1:
        result["all"] = as_listed(texts)
    if config.evidence is not None:
        words = config.evidence_of or result["answer"]
        result["evidence"] = draw_evidence(model, image, config.question, words, config.evidence_by, config.evidence)
    return result


def show(result: AnsweredQuestion) -> str:
    """The answers, and where their evidence is drawn."""
    lines = [text["text"] for text in result["all"]] if "all" in result else [result["answer"]]
    if "evidence" in result:
        lines.append(f"evidence of {result['evidence']['of']!r}: {result['evidence']['picture']}")
    return "\n".join(lines)
