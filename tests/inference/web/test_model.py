"""What the model is asked together comes back to whoever asked it."""

import threading
from pathlib import Path

import numpy as np

from knowlip.base.generation import GenerationConfig
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import open_model
from knowlip.inference.replies import asker_of
from knowlip.inference.web.model import AskedOf, ModelWork, WindowLook
from tests.inference.tiny_model import tiny_model


def test_one_question_of_two_threads_is_answered_to_both(tmp_path: Path) -> None:
    """Each thread may have made its own of the question; of a model without calibration both are equal."""
    model, folder = open_model(tiny_model(tmp_path / "model"), "cpu")
    work = ModelWork(model, threading.Lock())
    rng = np.random.default_rng(0)
    asked = []
    for number in range(4):
        asker, _ = asker_of(model, folder, "How many ships are visible?", True, GenerationConfig(8))
        image = TakenImage(rng.integers(1, 256, (32, 32)).astype(np.uint8), 3.0)
        asked.append(AskedOf(WindowLook(str(number), image), asker, 3.0 if number < 3 else None))
    together = work.answers(asked)
    assert len(together) == len(asked)
    assert [one.answer for one in together] == [work.answers([one])[0].answer for one in asked]
