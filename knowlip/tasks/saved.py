"""What a task has trained, on disk: `NAME.json` (how it is built) and `NAME.safetensors` (its weights), whole or not at
all. The encoder is opened again by its name; where it stayed frozen its weights are not copied, and their hash is kept.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import save_file
from torch import Tensor, nn

from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, whole_folder, write_json
from knowlip.base.provenance import provenance
from knowlip.base.rows import Json
from knowlip.models.encoders import Encoder, encoder_sha256
from knowlip.models.layout import numbers_of


class SavedKind(NamedTuple):
    """A kind of model that is stored so."""

    name: str
    """For people, and of the files."""
    holds: Mapping[str, Any]
    """Entry of its card -> type."""
    format: int = 1

    @property
    def card(self) -> str:
        return f"{self.name}.json"

    @property
    def weights(self) -> str:
        return f"{self.name}.safetensors"

    def folder(self, named: Path) -> Path:
        """The folder that holds it: the one named, or `model` in that of its run."""
        return named / "model" if (named / "model" / self.card).is_file() else named

    def write(self, folder: Path, card: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        """Write the folder.

        Args:
            folder: where to.
            card: the entries of `holds`, and more; the format and the provenance are added.
            state: weights and buffers by name, each in one piece.
        """
        with whole_folder(folder) as part:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, part / self.weights)
            write_json(part / self.card, {"format": self.format, **card, "card": provenance()})

    def rewrite_card(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Put another card beside the same weights."""
        write_json(folder / self.card, card)

    def read_card(self, folder: Path) -> dict[str, Any]:
        """The card of a folder, with every entry of `holds` of its type and `classes` as names.

        Raises:
            ValueError: there is none, it is of another format, or an entry is of another type.
        """
        path = folder / self.card
        if not path.is_file():
            raise ValueError(f"{folder} is not a {self.name}: it needs {self.card} and {self.weights}.")
        card = read_json(path)
        if not isinstance(card, dict) or card.get("format") != self.format:
            raise ValueError(f"{path} is of no format that this version reads ({self.format}).")
        sound = all(isinstance(card.get(name, 0.0), kind) for name, kind in self.holds.items())
        self.require(sound and all(isinstance(name, str) for name in card["classes"]), folder)
        return card

    def require(self, sound: bool, folder: Path) -> None:
        """Raise `ValueError` for a card that is not sound."""
        if not sound:
            raise ValueError(f"{folder / self.card} lacks a sound {', '.join(self.holds)}.")

    def read_weights(self, folder: Path) -> dict[str, Tensor]:
        """The weights of a folder.

        Raises:
            ValueError: they cannot be read, or hold what weights cannot be.
        """
        return numbers_of(folder / self.weights)

    def fill(self, module: nn.Module, state: Mapping[str, Tensor], folder: Path) -> None:
        """Give a module the weights of a folder.

        Raises:
            ValueError: they are those of another one.
        """
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{folder / self.weights} does not fit its encoder ({_first(error)}).") from None

    def sha256(self, folder: Path) -> str:
        """Of the weights of a folder."""
        return file_sha256(folder / self.weights)


def frozen_sha256(encoder: Encoder, learned: bool) -> str:
    """What a card keeps of an encoder's weights: their hash where they stay, "" where they lie in the folder."""
    return "" if learned else encoder_sha256(encoder)


def check_encoder(encoder: Encoder, known: Json, folder: Path) -> None:
    """Raise `ValueError` where a frozen encoder, which is found by its name, is not the one that a head learned on.

    Args:
        encoder: as it is now.
        known: its hash then; "" or None where nobody says, or its weights lie in the folder.
        folder: of the head, for the message.
    """
    if known and known != encoder_sha256(encoder):
        raise ValueError(f"{folder} learned on other weights than {encoder.name} has now: train it again on these.")


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
