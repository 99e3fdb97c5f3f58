"""Weights files: read without running code in them, checked against their names, fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import TypeAlias
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from canemo.errors import ConfigError, WeightsError, first_line
from canemo.files import replacing, sha256_file

State: TypeAlias = Mapping[str, Tensor]
RANDOM_MARK = "canemo_random"
"""Key in a safetensors file's metadata that says: these tensors were drawn, not trained."""

PATIENCE_S = 5.0
"""How long a server may take to say that it is there [s]."""

_HASH_IN_NAME = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})\.(pth|pt|safetensors)$")
"""A number alone, such as a date, is taken for no hash."""


def read_state(path: Path) -> State:
    """Return the bare state dict of a safetensors file or a torch checkpoint.

    Raises
    ------
    WeightsError
        The file is damaged, holds code, or is not what its name says: where a name ends in a hash
        (``resnet50-0676ba61.pth``), as torch's hub names files, the content must have it.
    """
    verify_name(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # unpickling a foreign file can raise anything
        raise WeightsError(
            f"{path}: not a readable weights file ({first_line(exc)}); expected "
            "safetensors or a torch state dict (files that hold code are refused)"
        ) from exc
    return _unwrap(state, path=path)


def _unwrap(state: object, *, path: Path) -> State:
    """Return the bare state dict from the wrappings that checkpoints come in."""
    while isinstance(state, Mapping):
        inner = next((state[k] for k in ("state_dict", "model", "teacher") if k in state), None)
        if not isinstance(inner, Mapping):
            break
        state = inner
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path}: expected a state dict, found {type(state).__name__}")
    return {key: value for key, value in state.items() if torch.is_tensor(value)}


def verify_name(path: Path) -> None:
    """Compare the content with the SHA-256 (or its start) that a publisher put into the name.

    Raises
    ------
    WeightsError
        The content has another hash, or there is no such file.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    named = _HASH_IN_NAME.search(path.name)
    blob = path.resolve().name  # the hub's cache names large files by their SHA-256
    wanted = named[1] if named else blob if re.fullmatch("[0-9a-f]{64}", blob) else ""
    found = sha256_file(path) if wanted else ""
    if not found.startswith(wanted):
        raise WeightsError(
            f"{path}: its SHA-256 starts with {found[: len(wanted)]}, its publisher gave {wanted}; "
            "the file is damaged or another one: fetch it again"
        )


def require_device(device: str, *, setting: str) -> None:
    """Raise ConfigError where torch cannot use a device; `setting` names what asked for it."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as exc:
        raise ConfigError(
            f"{setting} = {device!r} cannot be used here ({first_line(exc)}); use 'cpu'"
        ) from exc


def is_marked_random(path: Path) -> bool:
    """Tell whether a safetensors file says of itself that its tensors are random."""
    if path.suffix != ".safetensors":
        return False
    with safe_open(path, framework="pt") as file:
        return RANDOM_MARK in (file.metadata() or {})


def fetch_url(url: str, *, fetch: bool = True) -> Path | None:
    """Return a file from torch's hub cache, fetched first if need be; None where it cannot be."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    if not fetch or not is_reachable(url):
        return None
    try:
        with replacing(path) as temporary:
            torch.hub.download_url_to_file(url, str(temporary), progress=False)
    except OSError:
        return None
    return path


@cache
def is_reachable(url: str) -> bool:
    """Tell within `PATIENCE_S` whether a server answers, also through a proxy; asked once only.

    The hub's own client tries for most of a minute, and looking a name up can take as long, so a
    thread does and is waited for no longer.
    """
    answers: list[bool] = []
    asking = Thread(target=lambda: answers.append(_does_answer(url)), daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return answers == [True]


def _does_answer(url: str) -> bool:
    try:
        urlopen(Request(url, method="HEAD"), timeout=PATIENCE_S).close()
    except HTTPError as exc:
        return exc.code < HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, HTTPException):
        return False
    return True
