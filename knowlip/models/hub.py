"""Models by name: a folder, or a repository of the Hugging Face hub."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from knowlip.base.files import recover

WEIGHTS, CARD, README = "model.safetensors", "knowlip.json", "README.md"
ANSWERS = "answers.json"
"""How sure the answers of these weights may be taken to be; not every model has it."""
COUNTED = "config.json"
"""The hub counts a model's downloads by requests for this file
(https://huggingface.co/docs/hub/models-download-stats); transformers opens the model by it."""
REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?")
_Result = TypeVar("_Result")


def find_model(name: Path | str) -> Path:
    """The folder of a model.

    Args:
        name: a folder, or "user/repo" or "user/repo@revision" of the hub, which is downloaded once and kept in the
            hub's cache ($HF_HOME). A folder of that name comes first.

    Raises:
        ValueError: neither a folder nor a repository that can be fetched.
    """
    folder, text = Path(name), str(name)
    recover(folder)
    if folder.exists():
        return folder
    if not REPO.fullmatch(text):
        raise ValueError(f"{text} is not a KnowLIP model: there is no such folder.")
    from huggingface_hub import snapshot_download

    repo, _, revision = text.partition("@")
    files = [WEIGHTS, CARD, README, COUNTED, ANSWERS]
    try:
        return Path(
            asked(lambda: snapshot_download(repo, revision=revision or None, allow_patterns=files), f"Fetching {text}")
        )
    except ValueError as error:
        raise ValueError(f"There is no folder {text}, and the hub gave no such model. {error}") from error.__cause__


def asked(ask: Callable[[], _Result], doing: str) -> _Result:
    """Ask the hub; what goes wrong becomes one sentence to act on."""
    from huggingface_hub import constants, errors

    try:
        return ask()
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        sentence = "It is not there, or not for you: see `hf auth login` for private ones."
        raise ValueError(f"{doing}: {sentence}") from error
    except errors.LocalTokenNotFoundError as error:
        raise ValueError(f"{doing}: log in with `hf auth login`, or set HF_TOKEN.") from error
    except errors.HFValidationError as error:
        raise ValueError(f"{doing}: {error}.") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        hint = " Log in with `hf auth login`, or set HF_TOKEN." if status in (401, 403) else ""
        raise ValueError(f"{doing}: the hub answered {status}.{hint}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HTTPError) as error:
        raise ValueError(f"{doing}: {constants.ENDPOINT} cannot be reached, and the cache does not hold it.") from error
