"""Every setting and its default, and how `canemo.toml` and options override it.

The defaults live here and nowhere else. A stage is handed its own section, never the whole.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from canemo.errors import ConfigError

CONFIG_FILE = "canemo.toml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StudyConfig(_Section):
    """Which label counts as positive (default: the first in alphabetical order)."""

    positive_label: str | None = None


class VideoConfig(_Section):
    """Which frames are looked at: `fps` frames per second, or every `every_nth` frame."""

    fps: float | None = Field(default=5.0, gt=0)
    every_nth: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _every_nth_replaces_default_fps(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("every_nth") is not None:
            return {"fps": None, **values}
        return values

    @model_validator(mode="after")
    def _exactly_one(self) -> VideoConfig:
        if (self.fps is None) == (self.every_nth is None):
            raise ValueError("give either fps or every_nth, not both and not neither")
        return self


class DetectConfig(_Section):
    """How faces are found and linked over time.

    `detector` is `dog_head` or the path of trained weights; `score_threshold` None means the
    detector's own; gaps up to `max_gap_s` [s] between two detections are bridged; faces whose
    shorter side is under `min_side_px` [pixels] are too small.
    """

    detector: str = "dog_head"
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    max_gap_s: float = Field(default=0.5, ge=0)
    min_side_px: float = Field(default=24.0, ge=1)


class CropConfig(_Section):
    """How a face is cut out and kept.

    The box grows by `margin` of its size on every side; `square` takes the square around it,
    moved (not squeezed) to stay inside the picture. Crops are JPEGs of quality `jpeg_quality`,
    shrunk so that the short side is at most `max_short_side_px` [pixels].
    """

    margin: float = Field(default=0.0, ge=0, le=1)
    square: bool = True
    max_short_side_px: int = Field(default=320, ge=32, le=320)
    jpeg_quality: int = Field(default=95, ge=95, le=100)


class BackboneConfig(_Section):
    """Which frozen network embeds the crops, and from which weights file (None: its own source)."""

    name: str = "dino_vits8"
    weights: Path | None = None
    batch_size: int = Field(default=16, ge=1)
    device: str = "cpu"


class ProbeConfig(_Section):
    """The linear probe.

    `penalties` are L2 strengths per sample (loss = mean log loss + penalty / 2 * |w|^2), of which
    inner folds choose one.
    """

    pooling: str = "cls"
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.01, 0.1, 1.0, 10.0, 100.0), min_length=1
    )
    class_weight: Literal["balanced", "none"] = "balanced"
    inner_folds: int = Field(default=5, ge=2)


class EvaluateConfig(_Section):
    """How dogs are split and how uncertainty is measured.

    `split` is `auto` (leave one subject out up to 40 subjects, else `kfold:10`), `loso`,
    `kfold:K`, `holdout:N` or `file:PATH`.
    """

    split: str = "auto"
    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=2000, ge=100)


class Config(_Section):
    """All settings of a run."""

    study: StudyConfig = StudyConfig()
    video: VideoConfig = VideoConfig()
    detect: DetectConfig = DetectConfig()
    crop: CropConfig = CropConfig()
    backbone: BackboneConfig = BackboneConfig()
    probe: ProbeConfig = ProbeConfig()
    evaluate: EvaluateConfig = EvaluateConfig()


def load_config(
    root: Path | None = None, *, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Config:
    """Return the defaults, overridden by `root/canemo.toml`, overridden by `overrides`.

    Raises
    ------
    ConfigError
        The file is no TOML, a key is unknown (the nearest known one is named), or a value is
        impossible.
    """
    values: dict[str, Any] = {}
    path = None if root is None else root / CONFIG_FILE
    if root is not None and path is not None and path.is_file():
        values = _resolve_paths(_read_toml(path), root)
        _validate(values, source=path)
    for section, entries in (overrides or {}).items():
        below = {k: v for k, v in values.get(section, {}).items() if k not in _rivals(entries)}
        values[section] = {**below, **entries}
    return _validate(values, source="options")


def read_config(path: Path) -> Config:
    """Read the complete settings that a run wrote down."""
    return _validate(_read_toml(path), source=path)


def format_config(config: Config) -> str:
    """Return `config` as TOML; settings that are None are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not valid TOML ({exc}); mend the file") from exc


def _rivals(entries: Mapping[str, Any]) -> set[str]:
    """Return the keys that lose their say where one of a pair is given anew."""
    pair = {"fps", "every_nth"}
    return pair if pair & set(entries) else set()


def _resolve_paths(values: dict[str, Any], root: Path) -> dict[str, Any]:
    """Make the paths of a study's own file independent of where canemo is started."""
    for section, key in (("backbone", "weights"), ("detect", "detector")):
        entries = values.get(section)
        text = entries.get(key) if isinstance(entries, dict) else None
        if isinstance(entries, dict) and isinstance(text, str) and (root / text).is_file():
            entries[key] = str((root / text).resolve())
    return values


def _validate(values: Mapping[str, Any], *, source: Path | str) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as exc:
        problems = "; ".join(_describe(error) for error in exc.errors())
        raise ConfigError(f"{source}: {problems}") from exc


def _describe(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _known_keys(), n=1, cutoff=0.0)
        return f"unknown key {key!r}; the nearest known key is {near[0]!r}"
    return f"{key} = {error['input']!r}: {error['msg'].removeprefix('Value error, ')}"


def _known_keys() -> list[str]:
    sections = Config.model_fields
    keys = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key in type(section.default).model_fields
    ]
    return [*sections, *keys]
