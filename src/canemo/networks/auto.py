"""What ``backbone.name = "auto"`` means here: the best backbone whose weights can be had."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from canemo.errors import ConfigError, MissingExtraError, WeightsError
from canemo.networks.backbone_specs import AUTO_ORDER, BACKBONES, BackboneSpec, find_backbone
from canemo.networks.backbones import can_reach_hub, locate_weights, read_network
from canemo.networks.weights import read_state

logger = logging.getLogger(__name__)

_DAMAGED = "its weights file is damaged"
_NOT_TO_BE_HAD = "weights neither on this computer nor to be fetched"
_NOT_INSTALLED = "not installed: "
_REMEDIES = {_NOT_TO_BE_HAD: "internet once", _DAMAGED: "another copy of its weights file"}


@dataclass(frozen=True)
class BackboneChoice:
    """The backbone that ``auto`` means, and why, as a part of a sentence.

    `better` names what may do better, each with what brings it; empty where nothing is missing.
    """

    name: str
    reason: str
    better: str = ""


def choose_backbone(weights: Path | None = None) -> BackboneChoice:
    """Return the first of `AUTO_ORDER` whose weights are here or can be fetched.

    Parameters
    ----------
    weights
        A weights file that was given: then the backbone whose network it fits.

    Raises
    ------
    ConfigError
        The file fits no network, or several that are built alike.
    WeightsError
        The file cannot be read, or nothing can be had.
    """
    if weights is not None:
        return _choose_for_file(weights)
    missing: dict[str, str] = {}
    for spec in map(find_backbone, AUTO_ORDER):
        try:
            how = _obtain(spec)
        except MissingExtraError:
            missing[spec.name] = _name_remedy(spec)
        except WeightsError:
            missing[spec.name] = _NOT_TO_BE_HAD
        else:
            if not _is_damaged(spec):
                return BackboneChoice(spec.name, f"{how}{_rank(missing)}", _name_better(missing))
            missing[spec.name] = _DAMAGED
    raise WeightsError(f"no backbone can be had{_describe_missing(missing)}")


def foresee_choice() -> str:
    """Return in one line what ``auto`` would take here; nothing is fetched."""
    missing: dict[str, str] = {}
    for spec in map(find_backbone, AUTO_ORDER):
        try:
            locate_weights(spec, fetch=False)
        except MissingExtraError:
            missing[spec.name] = _name_remedy(spec)
        except WeightsError:
            if can_reach_hub():
                return f"{spec.name}, whose weights would be fetched from the model hub"
            missing[spec.name] = _NOT_TO_BE_HAD
        else:
            if not _is_damaged(spec):
                return f"{spec.name}: {_say_where(spec)}{_describe_missing(missing)}"
            missing[spec.name] = _DAMAGED
    return f"nothing{_describe_missing(missing)}"


def is_here(name: str) -> bool:
    """Tell whether the weights of a backbone are on this computer; nothing is fetched."""
    try:
        locate_weights(find_backbone(name), fetch=False)
    except (ConfigError, WeightsError, MissingExtraError):
        return False
    return True


def list_better(name: str) -> list[str]:
    """Return the backbones on this computer that ``auto`` prefers to the one of that name."""
    place = AUTO_ORDER.index(name) if name in AUTO_ORDER else 0
    here = [each for each in AUTO_ORDER[:place] if is_here(each)]
    return [each for each in here if not _is_damaged(find_backbone(each))]


def _obtain(spec: BackboneSpec) -> str:
    """Return where the weights are, fetched first if need be; errors as `locate_weights`."""
    if spec.packaged is None and not is_here(spec.name):
        if can_reach_hub():
            logger.info("backbone: fetching the weights of %s from the model hub, once", spec.name)
        locate_weights(spec)
        return "its weights were fetched from the model hub"
    locate_weights(spec, fetch=False)
    return _say_where(spec)


def _is_damaged(spec: BackboneSpec) -> bool:
    """Tell, with a warning, whether weights that are here cannot be read."""
    if spec.packaged is not None:  # pip has looked
        return False
    try:
        read_state(locate_weights(spec, fetch=False))
    except WeightsError as exc:
        logger.warning("backbone: %s; take the file away, and it is fetched again", exc)
        return True
    return False


def _say_where(spec: BackboneSpec) -> str:
    if spec.packaged is not None:
        return "its weights are in an installed package"
    return "its weights are on this computer"


def _name_remedy(spec: BackboneSpec) -> str:
    assert spec.packaged is not None, spec
    return f"{_NOT_INSTALLED}{spec.packaged.remedy}"


def _rank(missing: Mapping[str, str]) -> str:
    """Return what comes before the one taken, in words that a methods paragraph can bear."""
    if not missing:
        return ", and it is the first choice"
    return f"; those before it, {', '.join(missing)}, could not be had"


def _name_better(missing: dict[str, str]) -> str:
    """Return the first backbone that each remedy brings, with the remedy."""
    firsts = {why: name for name, why in reversed(missing.items())}
    return "; ".join(
        f"{firsts[why]}, with {_REMEDIES.get(why, why.removeprefix(_NOT_INSTALLED))}"
        for why in dict.fromkeys(missing.values())
    )


def _describe_missing(missing: Mapping[str, str]) -> str:
    """Return what was preferred and why it was not taken."""
    if not missing:
        return _rank(missing)
    reasons = [
        f"{', '.join(name for name in missing if missing[name] == why)} ({why})"
        for why in dict.fromkeys(missing.values())
    ]
    return f"; preferred, but not to be had: {'; '.join(reasons)}"


def _choose_for_file(path: Path) -> BackboneChoice:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; give an existing file to --weights")
    if path.suffix != ".onnx":
        read_state(path)  # a damaged file is said to be one
    found = [spec.name for spec in BACKBONES.values() if _fits(spec, path)]
    if len(found) == 1:
        return BackboneChoice(found[0], f"the weights file {path.name} fits its network only")
    problem = (
        f"it fits {' and '.join(found)}, whose networks are built alike"
        if found
        else "it fits none of the networks that go by a name of canemo's"
    )
    raise ConfigError(f"{path}: {problem}; say with --backbone NAME what the weights are of")


def _fits(spec: BackboneSpec, path: Path) -> bool:
    if (path.suffix == ".onnx") != (spec.packaged is not None and not spec.packaged.in_order):
        return False
    try:
        read_network(spec, path)
    except WeightsError:
        return False
    return True
