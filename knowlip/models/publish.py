"""Models put on the Hugging Face hub."""

import json
from pathlib import Path
from typing import Any, TypedDict

from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256
from knowlip.base.rows import Results, read_results
from knowlip.models.folder import model_readme, rows_of_model
from knowlip.models.hub import ANSWERS, CARD, README, REPO, WEIGHTS, asked
from knowlip.models.settings import PublishModelConfig
from knowlip.models.stored import read_model
from knowlip.models.towers import Towers
from knowlip.models.transformers_files import transformers_files

_PRIVATE = ("command",)
"""Facts of a card that may hold paths of the machine: they are not published."""


def push_to_hub(
    folder: Path, repo: str, private: bool = False, license: str = "", results: Results | None = None
) -> str:
    """Publish a model folder.

    The command line that trained the model stays here, because it may name folders of this machine.

    Args:
        folder: is loaded first, so that nothing broken is published.
        repo: "user/repo"; made when it does not exist.
        private: only its owners see it (of use when it is made).
        license: identifier of the hub, e.g. "apache-2.0".
        results: what `knowlip evaluate` found about these weights, for the model card.

    Returns:
        Address of the commit.

    Raises:
        ValueError: no sound model, a bad name, results of other weights, no permission, no network.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if not REPO.fullmatch(repo) or "@" in repo:
        raise ValueError(f"{repo} is not a name on the hub: give USER/REPO.")
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: only models on this machine can be published.")
    # Loaded before anything is asked of the hub: a folder that does not load must not be published.
    model = read_model(Towers, folder)
    saved: dict[str, Any] = read_json(folder / CARD)
    card = {key: value for key, value in saved["card"].items() if key not in _PRIVATE}
    if license:
        card["license"] = license
    measured = rows_of_model(results, file_sha256(folder / WEIGHTS)) if results is not None else ()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    files: dict[str, bytes | str] = {
        WEIGHTS: str(folder / WEIGHTS),
        CARD: json.dumps({**saved, "card": card}, indent=1, sort_keys=True).encode(),
        README: model_readme(saved["model"], card, parameters, license, repo, measured).encode(),
        **{name: content.encode() for name, content in transformers_files(model).items()},
    }
    if (folder / ANSWERS).is_file():
        files[ANSWERS] = str(folder / ANSWERS)
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.items()]
    api = HfApi()
    asked(lambda: api.create_repo(repo, private=private, exist_ok=True), f"Making {repo}")
    message = "Add KnowLIP model"
    return str(
        asked(lambda: api.create_commit(repo, operations, commit_message=message), f"Publishing {repo}").commit_url
    )


class Published(TypedDict):
    """What was published where."""

    model: str
    repo: str
    commit: str
    """Address of the commit."""


def publish_model(config: PublishModelConfig) -> Published:
    """Publish a model folder on the hub.

    Raises:
        ValueError: see :func:`push_to_hub`; or a file without results.
    """
    results = read_results(config.metrics) if config.metrics is not None else None
    url = push_to_hub(config.model, config.repo, config.private, config.license, results)
    return {"model": str(config.model), "repo": config.repo, "commit": url}
