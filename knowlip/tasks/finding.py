"""What a task offers, found by the name of its file: nothing else lists the tasks."""

from importlib import import_module
from importlib.resources import files
from typing import Any

from knowlip.base.plugins import plugin, plugin_names


def find_in_task(task: str, name: str, lacking: str) -> Any:
    """What `knowlip/tasks/TASK.py` calls `name`.

    Args:
        task: name of a file.
        name: of what it should offer.
        lacking: what a task without it cannot do, for the message.

    Raises:
        ValueError: there is no such file, or it does not offer that; the sentence lists those that do.
    """
    known = {path.name.removesuffix(".py") for path in files("knowlip.tasks").iterdir() if path.name.endswith(".py")}
    # Only names of files that are there are imported: a name from a recipe or a flag imports nothing else.
    if task in known and (found := getattr(import_module(f"knowlip.tasks.{task}"), name, None)):
        return found
    added = plugin("tasks", task) if task not in known and task in plugin_names("tasks") else None
    if (found := getattr(added, name, None)) is not None:
        return found
    able = sorted(one for one in known if hasattr(import_module(f"knowlip.tasks.{one}"), name))
    raise ValueError(f"There is no task {task!r} that {lacking}; there are {', '.join(able)}.")
