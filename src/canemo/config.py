"""Every setting and its default, and how presets, `canemo.toml` and options override it.

The defaults live here and nowhere else. A stage is handed its own section, never the whole.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from canemo.errors import ConfigError
from canemo.species import DOG, Species, get_species

CONFIG_FILE = "canemo.toml"
SWEEP_POOLINGS = (
    *("cls", "mean", "layer2", "layer3", "layer4", "upper", "lower", "rim"),
    *("region:eyes", "region:ears", "region:muzzle", "geometry"),
    *("region:muzzle,geometry", "cls,geometry"),
)
"""What `--sweep` offers of what there is: layers, parts of the crop and of the face, its geometry.

A quarter of the crop is left out: where an ear or the muzzle lies, its region says better.
"""

PRESETS = ("quick", "paper", "video", "strict")

Method: TypeAlias = Literal[
    "lda",
    "logistic",
    "gradient",
    "sequence_mean",
    "sequence_attention",
    "sequence_convolution",
    "sequence_gru",
]
FRAMES_PATTERN = r"^(all|even:[1-9][0-9]*|(score|sharp):(0?\.[0-9]*[1-9][0-9]*|1|1\.0*))$"
Frames: TypeAlias = Annotated[str, Field(pattern=FRAMES_PATTERN)]
EngineSetting: TypeAlias = Literal["auto", "torch", "openvino"]
PrecisionSetting: TypeAlias = Literal["auto", "float32", "bfloat16", "int8"]
PointsSetting: TypeAlias = Literal["auto", "study", "model", "none"]
ClassWeight: TypeAlias = Literal["balanced", "none"]
Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StudyConfig(_Section):
    """What is studied: the kind of animal, see `canemo.species`, and which label is positive.

    The default of the latter is the first in alphabetical order.
    """

    species: str = DOG.name
    positive_label: str | None = None

    @field_validator("species")
    @classmethod
    def _known(cls, name: str) -> str:
        return get_species(name).name


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

    `detector` is ``auto`` (the one that ships with canemo for the species), a name (`dog_head`),
    the path of trained weights or of the study's ``faces.json``, whose boxes then stand in for a
    detector (see `canemo.faces.detect.drawn_boxes`), or `whole_frame`, which takes each frame as it
    is. `engine` is what runs it (``torch``, ``openvino``, or ``auto`` for the faster one here);
    `score_threshold` None means the detector's own; gaps up to `max_gap_s` [s] between two
    detections are bridged; faces whose shorter side is under `min_side_px` [pixels] are too small.
    `follow` False links nothing: each frame gives the face with the best score, by itself, as in
    the 2022 paper. The detector looks at a sampled frame at least every `key_every_s` [s], and at
    those in between where faces move or the picture changes (see `canemo.faces.key_frames`); 0, or
    `follow` False: at all of them.
    """

    detector: str = "auto"
    engine: EngineSetting = "auto"
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    max_gap_s: float = Field(default=0.5, ge=0)
    min_side_px: float = Field(default=24.0, ge=1)
    follow: bool = True
    key_every_s: float = Field(default=0.2, ge=0)


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


class MeasureConfig(_Section):
    """What finds the points of the faces, by which they are measured and parted into regions.

    `points` is ``study`` (its landmarks), ``model`` (that of the species), ``none``, or ``auto``:
    the first of these that there is.
    """

    points: PointsSetting = "auto"


class BackboneConfig(_Section):
    """Which frozen network embeds the crops, and from which weights file (None: its own source).

    `name` ``auto`` takes the best whose weights are here or can be fetched (see
    `canemo.networks.auto`); what a run was made with is named in its own settings.
    `engine` (``torch``, ``openvino``) runs it with `precision` (``float32``, ``bfloat16``,
    ``int8``) on `device`; ``auto`` takes the fastest of those that answer alike here (see
    `canemo.networks.engines.choice`), and never int8, whose answers differ more.
    """

    name: str = "auto"
    weights: Path | None = None
    batch_size: int = Field(default=16, ge=1)
    device: str = "cpu"
    engine: EngineSetting = "auto"
    precision: PrecisionSetting = "auto"


class ProbeConfig(_Section):
    """What is fitted on the frozen features.

    `method` is ``lda`` (a linear discriminant with a penalised scatter, in closed form),
    ``logistic`` (L2-penalised logistic regression), ``gradient`` (the 2022 paper's linear probe:
    see `GradientConfig`) or a model of the whole clip: ``sequence_mean``, ``sequence_attention``,
    ``sequence_convolution``, ``sequence_gru`` (see `SequenceConfig`).
    `frames` are those of a clip that count: ``all``, ``even:N`` (N, evenly spaced), ``score:SHARE``
    or ``sharp:SHARE`` (the share with the best detector score, or the sharpest).
    `penalties`, of which inner folds choose one, belong to ``lda`` (added to the scatter of
    standardised features, whose diagonal is 1) and to ``logistic`` (loss = mean log loss + penalty
    / 2 * |w|^2).
    """

    method: Method = "lda"
    pooling: str = "cls"
    frames: Frames = "all"
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.01, 0.1, 1.0, 10.0, 100.0), min_length=1
    )
    class_weight: ClassWeight = "balanced"
    inner_folds: int = Field(default=5, ge=2)


class SweepConfig(_Section):
    """What inner folds choose from besides the penalty: every pooling with every choice of frames.

    Empty means the probe's own. It belongs to the method ``lda``.
    """

    poolings: tuple[str, ...] = ()
    frames: tuple[Frames, ...] = ()


class GradientConfig(_Section):
    """The linear probe of Boneh-Shitrit et al. (2022), section 3.2, and what it leaves open.

    `feed` is ``exact`` (a fresh augmented view of every crop and a backbone pass in every epoch)
    or ``views:K`` (K cached views per crop, one drawn in every epoch). `learning_rate` None takes
    1e-4 for CNNs and 5e-6 for transformers.
    """

    feed: str = Field(default="views:8", pattern=r"^(exact|views:[1-9][0-9]*)$")
    epochs: int = Field(default=30, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.0,
        0.999,
    )
    batch_size: int = Field(default=64, ge=1)
    loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy"
    initialisation: Literal["uniform", "zeros"] = "uniform"

    @property
    def views(self) -> int:
        """How many augmented views of a crop there are: one per epoch where `feed` is exact."""
        return self.epochs if self.feed == "exact" else int(self.feed.removeprefix("views:"))


class AugmentConfig(_Section):
    """How a crop is changed at random before it is embedded for training.

    `area` is the share of the crop's area that is kept, `aspect` the range of width / height of
    that part relative to the crop's; `brightness`, `contrast`, `saturation` and `hue` are the
    strengths of torchvision's ColorJitter.
    """

    flip: float = Field(default=0.5, ge=0, le=1)
    area: tuple[Share, Share] = (0.8, 1.0)
    aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 1.0)
    brightness: float = Field(default=0.2, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=1)
    saturation: float = Field(default=0.2, ge=0, le=1)
    hue: float = Field(default=0.05, ge=0, le=0.5)

    @model_validator(mode="after")
    def _ordered(self) -> AugmentConfig:
        if self.area[0] > self.area[1] or self.aspect[0] > self.aspect[1]:
            raise ValueError("ranges run from the smaller to the larger value")
        return self


class SequenceConfig(_Section):
    """Models of a whole clip over cached features, trained with AdamW.

    `hidden` is the width all four work in; `window_s` [s] is how much time around a frame the
    frame's own probability looks at.
    """

    hidden: int = Field(default=64, ge=1)
    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    window_s: float = Field(default=3.0, gt=0)


class EvaluateConfig(_Section):
    """How dogs are split and how uncertainty is measured.

    `split` is `auto` (leave one subject out up to 40 subjects, else `kfold:10`), `loso`,
    `kfold:K`, `holdout:N`, `holdout:N:balanced` (test dogs drawn so that labels are shared out
    alike) or `file:PATH`. `resamples` of dogs give the intervals, `permutations` of the labels of
    whole videos within each dog the p value (all there are where these are at most 5000).
    """

    split: str = "auto"
    seed: int = Field(default=0, ge=0)
    resamples: int = Field(default=2000, ge=100)
    permutations: int = Field(default=1000, ge=100)


class AuditConfig(_Section):
    """How far the audit goes.

    `frames_per_clip`, evenly spaced, of each clip are embedded again for every part of the picture
    that `--confounds` looks at; `abstain_level` is the share of clips whose true label may be ruled
    out where the report says how often a model would rather not answer.
    """

    frames_per_clip: int = Field(default=5, ge=1)
    abstain_level: float = Field(default=0.1, gt=0, lt=1)


class CompareConfig(_Section):
    """What `compare` puts side by side: every backbone with every method, none given twice.

    Empty means the run's own. `weights` holds local weights files by name of backbone.
    """

    backbones: tuple[str, ...] = ()
    methods: tuple[Method, ...] = ()
    weights: dict[str, Path] = {}


class Config(_Section):
    """All settings of a run; `preset` names the one they started from."""

    preset: str | None = None
    study: StudyConfig = StudyConfig()
    video: VideoConfig = VideoConfig()
    detect: DetectConfig = DetectConfig()
    crop: CropConfig = CropConfig()
    measure: MeasureConfig = MeasureConfig()
    backbone: BackboneConfig = BackboneConfig()
    probe: ProbeConfig = ProbeConfig()
    sweep: SweepConfig = SweepConfig()
    gradient: GradientConfig = GradientConfig()
    augment: AugmentConfig = AugmentConfig()
    sequence: SequenceConfig = SequenceConfig()
    compare: CompareConfig = CompareConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    audit: AuditConfig = AuditConfig()

    @property
    def species(self) -> Species:
        """The kind of animal that is studied."""
        return get_species(self.study.species)

    @property
    def detector(self) -> str:
        """Name or file of the detector: what is given, or what ships for the species.

        Raises
        ------
        ConfigError
            None is given and none ships.
        """
        if self.detect.detector != "auto":
            return self.detect.detector
        if self.species.detector is None:
            raise ConfigError(
                f"study.species = {self.species.name!r}: no detector ships with canemo for it; "
                "give detect.detector (--detector): the study's faces.json, boxes drawn on its "
                "frames (`canemo detector import`); the weights file of a detector trained on them "
                "(`canemo detector train`); or whole_frame"
            )
        return self.species.detector


def load_config(
    root: Path | None = None,
    *,
    preset: str | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Return the settings: each of these overrides the one before it.

    The defaults; the preset that `root/canemo.toml` names; its other keys; `preset`; `overrides`.

    Raises
    ------
    ConfigError
        A file is no TOML, a preset or a key is unknown (the nearest known one is named), or a
        value is impossible.
    """
    path = None if root is None else root / CONFIG_FILE
    values: dict[str, Any] = {}
    if root is not None and path is not None and path.is_file():
        own = _read_toml(path)
        _validate(own, source=path)
        own = _resolve_paths(own, root)
        named = own.get("preset")
        if named is not None and (root / named).is_file():
            named = str(root / named)
        values = {**_layer({} if named is None else read_preset(named), own), "preset": named}
    if preset is not None:
        values = _layer(values, read_preset(preset))
    return _validate(_layer(values, overrides or {}), source="options")


def read_config(path: Path) -> Config:
    """Read the complete settings that a run wrote down."""
    return _validate(_read_toml(path), source=path)


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset, its own name under ``preset``.

    Parameters
    ----------
    name
        One of `PRESETS`, or the path of a TOML file of one's own.

    Raises
    ------
    ConfigError
        There is none of that name, or its file holds an unknown key or an impossible value.
    """
    source = f"preset {name}"
    values = _parse_toml(format_preset(name), source=source)
    _validate(values, source=source)
    if "preset" in values:
        raise ConfigError(f"{source}: a preset cannot start from another; write out its settings")
    return {**values, "preset": name}


def format_preset(name: str) -> str:
    """Return a preset's TOML file as it is, comments included."""
    if name in PRESETS:
        return (resources.files("canemo") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    if Path(name).is_file():
        return _read_text(Path(name))
    near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.0)[0]
    raise ConfigError(
        f"preset {name!r} is unknown, the nearest is {near!r}; there are {', '.join(PRESETS)}, or "
        "give the path of a TOML file"
    )


def find_departures(config: Config) -> dict[str, Any]:
    """Return what differs from the preset that `config` started from: key -> value in force.

    What a preset leaves to the study (paths, labels, devices) or to ``auto`` is no departure.
    """
    if config.preset is None:
        return {}
    wanted = _flatten(load_config(preset=config.preset))
    return {
        key: value
        for key, value in _flatten(config).items()
        if value != wanted[key]
        and key not in _LEFT_TO_THE_STUDY
        and (key, wanted[key]) != ("backbone.name", "auto")
    }


def format_config(config: Config) -> str:
    """Return `config` as TOML; settings that are None are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


_LEFT_TO_THE_STUDY = frozenset(
    {
        "study.species",
        "study.positive_label",
        "detect.detector",
        "detect.engine",
        "backbone.weights",
        "backbone.device",
        "backbone.engine",
        "backbone.batch_size",
        "compare.weights",
    }
)


def _flatten(config: Config) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, entries in config.model_dump(mode="json").items()
        if isinstance(entries, dict)
        for key, value in entries.items()
    }


def _layer(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with every key that `above` names replaced."""
    values = dict(below)
    for section, entries in above.items():
        if isinstance(entries, Mapping):
            under = values.get(section, {})
            kept = {key: value for key, value in under.items() if key not in _rivals(entries)}
            values[section] = {**kept, **entries}
        else:
            values[section] = entries
    return values


def _read_toml(path: Path) -> dict[str, Any]:
    return _parse_toml(_read_text(path), source=path)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not valid TOML ({exc}); mend the file") from exc


def _parse_toml(text: str, *, source: Path | str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{source}: not valid TOML ({exc}); mend the file") from exc


def _rivals(entries: Mapping[str, Any]) -> set[str]:
    """Return the keys that lose their say where one of a pair is given anew.

    A frame rate replaces "every n-th" and the other way round; weights given for one backbone are
    not those of another that is named after them.
    """
    pair = {"fps", "every_nth"}
    return (pair if pair & set(entries) else set()) | ({"weights"} if "name" in entries else set())


def _resolve_paths(values: dict[str, Any], root: Path) -> dict[str, Any]:
    """Make the paths of a study's own file independent of where canemo is started."""
    weights = values.get("compare", {}).get("weights", {})
    places = [("weights", values.get("backbone", {})), ("detector", values.get("detect", {}))]
    for key, entries in [*places, *((name, weights) for name in weights)]:
        if key in entries and (root / entries[key]).is_file():
            entries[key] = str((root / entries[key]).resolve())
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
    fields = Config.model_fields
    keys = [
        f"{name}.{key}"
        for name, field in fields.items()
        if isinstance(field.default, _Section)
        for key in type(field.default).model_fields
    ]
    return [*fields, *keys]
