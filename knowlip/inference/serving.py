"""`knowlip serve`: an archive with its page, a model behind an OpenAI-compatible endpoint, or both in one server."""

import os
from typing import Final

from knowlip.base.files import regular_file
from knowlip.inference.opened import open_model
from knowlip.inference.serve import make_endpoint
from knowlip.inference.settings import ServeConfig
from knowlip.pages.server import application, serve

KEY: Final = "KNOWLIP_SERVE_KEY"
"""Environment variable of the key that clients must send, so that it stands in no list of processes and no history."""
_SHORTEST_KEY, _LONGEST_KEY = 16, 4096
_HERE: Final = ("127.0.0.1", "localhost", "::1")


def serve_model(config: ServeConfig) -> str:
    """Serve an archive, a model, or both, until it is stopped.

    Raises:
        ValueError: no such archive or model, a key that is none, an address that others reach without a key, or the
            extra `serve` is not installed.
    """
    key = key_of(config)
    asks = "with the key" if key else "without a key"
    if config.index is not None:
        application(config.host)  # what is missing is told before anything is loaded
        from knowlip.inference.web.site import open_site

        with open_site(config, key) as site:
            also = f", {config.name} at /v1/chat/completions" if config.openai else ""
            serve(site, config.host, config.port, f"{config.index} {asks}{also}", "")
        return "stopped"
    model, folder = open_model(config.model, config.device)
    app = make_endpoint(model, config, key, folder=folder)
    serve(app, config.host, config.port, f"{config.name} answers {asks}, /v1/chat/completions", "")
    return "stopped"


def key_of(config: ServeConfig) -> str:
    """The key of the file or the environment; "" where none is set.

    Raises:
        ValueError: it is none, or there is none and others can reach the address.
    """
    named = f"${KEY}" if config.key_file is None else str(config.key_file)
    key = os.environ.get(KEY, "").strip()
    if config.key_file is not None:
        try:
            with regular_file(config.key_file).open("rb") as stream:
                key = stream.read(_LONGEST_KEY).decode().strip()
        except (OSError, UnicodeError) as error:
            raise ValueError(f"--key_file {config.key_file} cannot be read ({type(error).__name__}).") from None
        if not key:
            raise ValueError(f"--key_file {config.key_file} is empty: write the key into it.")
    if not key and config.host not in _HERE:
        raise ValueError(
            f"Others can reach {config.host}: put a key to send into ${KEY} or --key_file, or use 127.0.0.1."
        )
    if key and (len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key):
        raise ValueError(f"The key in {named} must have {_SHORTEST_KEY} or more letters and digits, and no space.")
    return key
