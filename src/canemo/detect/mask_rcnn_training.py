"""Train a Mask R-CNN on faces of known subjects: split, augmentation, loop, checkpoint, history."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageEnhance
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from canemo.detect.coco import AnnotatedImage, Polygon
from canemo.detect.evaluate import DetectionMetrics, evaluate_on_images, load_image
from canemo.detect.mask_rcnn import (
    MaskRCNNDetector,
    MaskRCNNSettings,
    StartingWeights,
    build_from_start,
    read_settings,
    resize_image,
    run_network,
    save_network,
    stored_tensors,
)
from canemo.errors import (
    AnnotationError,
    ConfigError,
    OutputExistsError,
    SplitError,
    WeightsError,
)
from canemo.files import hash_values, replacing, sha256_file, write_atomically
from canemo.records import Box, Image
from canemo.weights import first_line, require_device

_LOG = logging.getLogger(__name__)

HISTORY_SCHEMA = 1

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of images trained on so far, and how many there will be."""


@dataclass(frozen=True)
class MaskRCNNTraining:
    """How to train; one epoch shows every training image once.

    `learning_rate` is the peak for layers that start fresh; layers that bring trained weights get
    `pretrained_share` of it, and the first `frozen_blocks` blocks of the body keep theirs. The rate
    rises over the first `warm_up_share` of all steps and falls along a cosine. `held_out_share` of
    the subjects measure each epoch. `scale_jitter` and `colour_jitter` are the largest relative
    changes of size, and of brightness, contrast and saturation.

    Raises
    ------
    ConfigError
        If a number is impossible.
    """

    epochs: int = 15
    batch_size: int = 2
    learning_rate: float = 5e-4
    pretrained_share: float = 0.3
    weight_decay: float = 0.02
    warm_up_share: float = 0.1
    frozen_blocks: int = 2
    held_out_share: float = 0.2
    short_side_px: int = 480
    long_side_px: int = 960
    score_threshold: float = 0.5
    flip_share: float = 0.5
    scale_jitter: float = 0.3
    colour_jitter: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "epochs": (1, math.inf),
            "batch_size": (1, math.inf),
            "learning_rate": (0, math.inf),
            "pretrained_share": (0, 1),
            "weight_decay": (0, math.inf),
            "warm_up_share": (0, 1),
            "frozen_blocks": (0, math.inf),
            "held_out_share": (0, 1),
            "flip_share": (0, 1),
            "scale_jitter": (0, 0.9),
            "colour_jitter": (0, 0.9),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} is {value}, {least} to {most} is wanted.")
        MaskRCNNSettings(
            short_side_px=self.short_side_px,
            long_side_px=self.long_side_px,
            score_threshold=self.score_threshold,
        )


@dataclass(frozen=True)
class Counts:
    """How many images, boxes, and boxes with a polygon there are."""

    images: int
    boxes: int
    polygons: int


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean losses, then the figures on the held-out subjects.

    `seconds_per_image` is the time of training alone; it does not count when records are compared.
    """

    epoch: int
    losses: Mapping[str, float]
    average_precision: float
    average_precision_50: float
    recall_50: float
    recall_75: float
    false_positives_per_image: float
    seconds_per_image: float = field(compare=False)


@dataclass(frozen=True)
class TrainingRecord:
    """What a training did; the content of the history file.

    `key` tells trainings of other images, settings or starting weights apart.
    """

    key: str
    config: MaskRCNNTraining
    body: str
    started_from: str
    start_sha256: str
    train_subjects: tuple[str, ...]
    held_out_subjects: tuple[str, ...]
    train_counts: Counts
    held_out_counts: Counts
    epochs: tuple[EpochRecord, ...] = ()
    weights_sha256: str = ""

    @property
    def best_epoch(self) -> EpochRecord:
        """The epoch with the highest average precision on the held-out subjects."""
        return max(self.epochs, key=lambda epoch: epoch.average_precision)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        best = self.best_epoch.epoch if self.epochs else None
        return {"schema": HISTORY_SCHEMA, **asdict(self), "best_epoch": best}


def _record_of(content: Mapping[str, Any]) -> TrainingRecord:
    """Turn what `TrainingRecord.to_dict` gave back into the record."""
    values = {name: content[name] for name in TrainingRecord.__dataclass_fields__}
    values["config"] = MaskRCNNTraining(**values["config"])
    for name in ("train_subjects", "held_out_subjects"):
        values[name] = tuple(values[name])
    for name in ("train_counts", "held_out_counts"):
        values[name] = Counts(**values[name])
    values["epochs"] = tuple(EpochRecord(**epoch) for epoch in values["epochs"])
    return TrainingRecord(**values)


# ---- subjects and images


def draw_held_out(
    images: Sequence[AnnotatedImage], subject_ids: Sequence[str], *, share: float, seed: int
) -> tuple[str, ...]:
    """Draw the subjects that measure the training, among those with a box.

    Parameters
    ----------
    images, subject_ids
        The images and, in the same order, whom they show.
    share
        Share of the subjects, at least one of them.
    seed
        Of the draw.

    Raises
    ------
    SplitError
        If the lengths differ or fewer than two subjects have a box.
    """
    if len(images) != len(subject_ids):
        raise SplitError(
            f"There are {len(images)} images and {len(subject_ids)} subjects for them."
        )
    marked = sorted(
        {who for who, image in zip(subject_ids, images, strict=True) if image.boxes_xyxy}
    )
    if len(marked) < 2:
        raise SplitError(
            f"Boxes are drawn on images of {len(marked)} subjects {marked}; two are the least: one "
            "to train on and one to measure on. Mark faces of another dog."
        )
    count = min(max(1, round(share * len(marked))), len(marked) - 1)
    drawn = np.random.default_rng(seed).permutation(len(marked))[:count]
    return tuple(sorted(marked[index] for index in drawn))


def _check_files(images: Iterable[AnnotatedImage]) -> None:
    """Open every file's header, so that a broken one is found before hours of training."""
    for image in images:
        try:
            with PIL.Image.open(image.path) as file:
                size = file.size
        except OSError as exc:
            raise AnnotationError(f"{image.path}: the image cannot be read ({exc}).") from exc
        if size != (image.width, image.height):
            raise AnnotationError(
                f"{image.path}: is {size[0]} x {size[1]} pixels, but its annotations say "
                f"{image.width} x {image.height}. Draw the boxes on the file itself."
            )


def _count(images: Sequence[AnnotatedImage]) -> Counts:
    boxes = [polygons for image in images for polygons in image.polygons]
    return Counts(len(images), len(boxes), sum(1 for polygons in boxes if polygons))


def _warn_of_bare_boxes(counts: Counts) -> None:
    bare = counts.boxes - counts.polygons
    if bare:
        _LOG.warning(
            "%d of %d boxes have no polygon: the whole box counts as the face's mask there; boxes "
            "are learnt all the same, outlines are not",
            bare,
            counts.boxes,
        )


@dataclass(frozen=True)
class TrainingSample:
    """What the network sees: (H, W, 3) uint8 RGB, boxes (N, 4) [px], masks (N, H, W) of 0 and 1."""

    image_rgb: Image
    boxes_xyxy: NDArray[np.float32]
    masks: NDArray[np.uint8]

    def to_target(self, device: str) -> dict[str, Tensor]:
        """Return torchvision's target; every box is a face."""
        return {
            "boxes": torch.tensor(self.boxes_xyxy, device=device),
            "labels": torch.ones(len(self.boxes_xyxy), dtype=torch.int64, device=device),
            "masks": torch.tensor(self.masks, device=device),
        }


def compose_sample(
    annotated: AnnotatedImage, config: MaskRCNNTraining, rng: np.random.Generator
) -> TrainingSample:
    """Decode an image and change size, side and colours at random; its faces go along."""
    image_rgb = load_image(annotated)
    jitter = math.exp(rng.uniform(*np.log([1 - config.scale_jitter, 1 + config.scale_jitter])))
    resized = resize_image(
        image_rgb, round(config.short_side_px * jitter), round(config.long_side_px * jitter)
    )
    height, width = resized.shape[:2]
    scale = width / annotated.width, height / annotated.height
    boxes = np.array(annotated.boxes_xyxy, np.float32).reshape(-1, 4) * np.tile(scale, 2)
    masks = [
        rasterise_polygons(polygons or (_corners(box),), (width, height), scale=scale)
        for box, polygons in zip(annotated.boxes_xyxy, annotated.polygons, strict=True)
    ]
    stacked = np.stack(masks) if masks else np.zeros((0, height, width), np.uint8)
    if rng.random() < config.flip_share:
        resized, stacked = resized[:, ::-1], stacked[:, :, ::-1]
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return TrainingSample(
        _change_colours(resized, config.colour_jitter, rng),
        boxes.astype(np.float32),
        np.ascontiguousarray(stacked),
    )


def _corners(box: Box) -> Polygon:
    x0, y0, x1, y1 = box
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def rasterise_polygons(
    polygons: Sequence[Polygon], size: tuple[int, int], *, scale: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.uint8]:
    """Fill outlines into a mask: a pixel belongs to the face if its middle lies inside.

    Parameters
    ----------
    polygons
        One or more outlines; the mask is their union.
    size
        Width and height of the mask [px].
    scale
        Mask pixels per polygon pixel in x and y.

    Returns
    -------
    ndarray
        (H, W) uint8, 0 and 1.
    """
    fine = 4  # Pillow draws on whole pixels, edges included; a finer grid makes that a quarter
    factor = np.multiply(scale, fine)
    canvas = PIL.Image.new("L", (size[0] * fine, size[1] * fine))
    draw = PIL.ImageDraw.Draw(canvas)
    for polygon in polygons:
        corners = np.rint(np.asarray(polygon, np.float64) * factor)
        draw.polygon([(x, y) for x, y in corners.tolist()], fill=1)
    return np.asarray(canvas)[fine // 2 :: fine, fine // 2 :: fine].copy()


def _change_colours(image_rgb: Image, spread: float, rng: np.random.Generator) -> Image:
    image = PIL.Image.fromarray(np.ascontiguousarray(image_rgb))
    for enhancer in (
        PIL.ImageEnhance.Brightness,
        PIL.ImageEnhance.Contrast,
        PIL.ImageEnhance.Color,
    ):
        image = enhancer(image).enhance(float(rng.uniform(1 - spread, 1 + spread)))
    return np.asarray(image)


# ---- the training


def train_mask_rcnn(
    images: Sequence[AnnotatedImage],
    subject_ids: Sequence[str],
    out: Path,
    *,
    config: MaskRCNNTraining,
    start: StartingWeights,
    device: str = "cpu",
    force: bool = False,
    progress: Progress | None = None,
) -> TrainingRecord:
    """Train a Mask R-CNN for faces and keep the best epoch.

    Parameters
    ----------
    images
        Annotated images, with a face or without.
    subject_ids
        Whom each image shows; the subjects that measure are not trained on.
    out
        The weights file, ``.safetensors``. The history is written beside it as ``.json``, and until
        the training is complete ``.checkpoint.pt``: the same call goes on after the last finished
        epoch, and a completed training gives its record at once.
    config
        How to train.
    start
        From `canemo.detect.mask_rcnn.find_start`.
    device
        A torch device, e.g. ``"cpu"`` or ``"cuda"``.
    force
        Overwrite files of another training.
    progress
        Called after each batch.

    Raises
    ------
    AnnotationError
        If an image cannot be read or has not the size its annotations say.
    ConfigError
        If `out` is no ``.safetensors`` file or torch cannot use `device`.
    OutputExistsError
        If the weights or the history file is there from something else, and not `force`.
    SplitError
        If fewer than two subjects have a box.
    WeightsError
        If the starting weights do not fit.

    Notes
    -----
    The held-out subjects choose the epoch, so their figures are a little too good; measure on
    subjects that had no part in the training before you report a figure. The figures are those of
    the file: tensors are rounded as they are stored before they are measured. The same seed shows
    the same images in the same order; sums of floating point numbers may differ between machines.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: ends in {out.suffix!r}, '.safetensors' is wanted.")
    require_device(device, setting="device")
    _check_files(images)
    record = _plan(images, subject_ids, config, start)
    finished = _finished_record(out, record.key)
    if finished is not None:
        _LOG.info("%s: is complete, nothing is left to train", out)
        return finished
    _check_out(out, record.key, force=force)
    _warn_of_bare_boxes(_count(images))
    held_out = set(record.held_out_subjects)
    pairs = list(zip(images, subject_ids, strict=True))
    run = _Run(
        out=out,
        start=start,
        device=device,
        train=[image for image, who in pairs if who not in held_out],
        held_out=[image for image, who in pairs if who in held_out],
        progress=progress or (lambda done, total: None),
    )
    return run.complete(record)


def _plan(
    images: Sequence[AnnotatedImage],
    subject_ids: Sequence[str],
    config: MaskRCNNTraining,
    start: StartingWeights,
) -> TrainingRecord:
    """Split the subjects and fix what the training is, before anything of it is done."""
    held_out = draw_held_out(images, subject_ids, share=config.held_out_share, seed=config.seed)
    pairs = list(zip(images, subject_ids, strict=True))
    return TrainingRecord(
        key=hash_values(
            images=[
                (who, sha256_file(image.path), image.boxes_xyxy, image.polygons)
                for image, who in pairs
            ],
            torch=(torch.__version__, torchvision.__version__),
            config=asdict(config),
            start=(start.body, start.kind, start.sha256),
        ),
        config=config,
        body=start.body,
        started_from=start.description,
        start_sha256=start.sha256,
        train_subjects=tuple(sorted(set(subject_ids) - set(held_out))),
        held_out_subjects=held_out,
        train_counts=_count([image for image, who in pairs if who not in held_out]),
        held_out_counts=_count([image for image, who in pairs if who in held_out]),
    )


def _finished_record(out: Path, key: str) -> TrainingRecord | None:
    """Return the record of a completed training of this key, if its files are there unchanged."""
    record = _read_history(out.with_suffix(".json"))
    if record is None or record.key != key or len(record.epochs) < record.config.epochs:
        return None
    return record if out.is_file() and sha256_file(out) == record.weights_sha256 else None


def _read_history(path: Path) -> TrainingRecord | None:
    """Read a history file; None where there is none or it is something else."""
    try:
        return _record_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_out(out: Path, key: str, *, force: bool) -> None:
    """Refuse to overwrite anything but files of this very training."""
    history = out.with_suffix(".json")
    record = _read_history(history)
    ours = {out: _is_of(out, key), history: record is not None and record.key == key}
    for path, is_ours in ours.items():
        if path.exists() and not is_ours and not force:
            raise OutputExistsError(
                f"{path}: exists, and other images, settings or starting weights made it. Give "
                "another name for the weights, or force to overwrite it."
            )


def _is_of(out: Path, key: str) -> bool:
    """Tell whether a weights file is there and the training of this key wrote it."""
    try:
        return read_settings(out).version == key
    except WeightsError:
        return False


@dataclass(frozen=True)
class _Run:
    """What stays the same through a training."""

    out: Path
    start: StartingWeights
    device: str
    train: Sequence[AnnotatedImage]
    held_out: Sequence[AnnotatedImage]
    progress: Progress

    @property
    def checkpoint(self) -> Path:
        return self.out.with_suffix(".checkpoint.pt")

    def complete(self, record: TrainingRecord) -> TrainingRecord:
        """Train the epochs that are left."""
        with _seeded(record.config.seed):
            network, fresh = build_from_start(self.start)
        network.to(self.device, memory_format=torch.channels_last)
        optimizer = _build_optimizer(network, fresh, record.config)
        record = self._resume(record, network, optimizer)
        while len(record.epochs) < record.config.epochs:
            record = self._add_epoch(record, network, optimizer)
        self.checkpoint.unlink(missing_ok=True)
        return record

    def _add_epoch(
        self, record: TrainingRecord, network: MaskRCNN, optimizer: torch.optim.Optimizer
    ) -> TrainingRecord:
        """Train and measure one epoch, and save what it gave."""
        started_s = time.perf_counter()
        losses = _train_epoch(network, optimizer, self, record.config, len(record.epochs))
        seconds = time.perf_counter() - started_s
        settings = self._settings(record)
        metrics = _measure(network, self, settings)
        epoch = EpochRecord(
            epoch=len(record.epochs) + 1,
            losses=losses,
            average_precision=metrics.average_precision,
            average_precision_50=metrics.average_precision_50,
            recall_50=metrics.recall_50,
            recall_75=metrics.recall_75,
            false_positives_per_image=metrics.false_positives_per_image,
            seconds_per_image=seconds / len(self.train),
        )
        _log_epoch(epoch, record.config.epochs)
        record = replace(record, epochs=(*record.epochs, epoch))
        if record.best_epoch is epoch:
            save_network(network, self.out, settings)
            record = replace(record, weights_sha256=sha256_file(self.out))
        self._save(record, network, optimizer)
        return record

    def _settings(self, record: TrainingRecord) -> MaskRCNNSettings:
        counts = record.train_counts
        return MaskRCNNSettings(
            body=record.body,
            short_side_px=record.config.short_side_px,
            long_side_px=record.config.long_side_px,
            score_threshold=record.config.score_threshold,
            started_from=record.started_from,
            trained_on=f"{counts.images} images of {len(record.train_subjects)} subjects, "
            f"{counts.boxes} boxes, {counts.polygons} of them with a polygon",
            version=record.key,
        )

    def _save(
        self, record: TrainingRecord, network: MaskRCNN, optimizer: torch.optim.Optimizer
    ) -> None:
        """Write the history for people, then the checkpoint, which is what counts."""
        content = record.to_dict()
        write_atomically(self.out.with_suffix(".json"), json.dumps(content, indent=2) + "\n")
        state = {
            "key": record.key,
            "history": json.dumps(content),
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        with replacing(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def _resume(
        self, record: TrainingRecord, network: MaskRCNN, optimizer: torch.optim.Optimizer
    ) -> TrainingRecord:
        """Fill network and optimizer from the checkpoint, if there is one of this training."""
        if not self.checkpoint.is_file():
            return record
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            if state["key"] != record.key or not _is_of(self.out, record.key):
                _LOG.info("%s: is of another training and not used", self.checkpoint)
                return record
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            resumed = _record_of(json.loads(state["history"]))
        except Exception as exc:  # unpickling a damaged file can raise anything
            raise WeightsError(
                f"{self.checkpoint}: is damaged ({first_line(exc)}); delete it to train from "
                "the beginning."
            ) from exc
        _LOG.info("going on after epoch %d of %d", len(resumed.epochs), resumed.config.epochs)
        return resumed


def _log_epoch(epoch: EpochRecord, epochs: int) -> None:
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in epoch.losses.items())
    _LOG.info(
        "epoch %d of %d: losses %s; held-out subjects AP %.3f, AP50 %.3f, recall %.3f at IoU 0.5 "
        "and %.3f at 0.75, %.2f false positives per image; %.2f s per image",
        epoch.epoch,
        epochs,
        losses,
        epoch.average_precision,
        epoch.average_precision_50,
        epoch.recall_50,
        epoch.recall_75,
        epoch.false_positives_per_image,
        epoch.seconds_per_image,
    )


@contextmanager
def _seeded(*seed: int) -> Iterator[None]:
    """Seed torch's draws inside the block, and leave those outside as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        yield


def _build_optimizer(
    network: MaskRCNN, fresh: frozenset[str], config: MaskRCNNTraining
) -> torch.optim.AdamW:
    """Freeze the body's first blocks and give fresh layers the full rate, others a share of it."""
    for module in _first_blocks(network.backbone.body, config.frozen_blocks):
        module.requires_grad_(requires_grad=False)
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in trained if (name in fresh) == is_fresh], "peak": rate}
        for is_fresh, rate in (
            (True, config.learning_rate),
            (False, config.learning_rate * config.pretrained_share),
        )
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def _first_blocks(body: Any, count: int) -> list[nn.Module]:
    """Return the body's stem and its first blocks; none where `count` is 0."""
    if not count:
        return []
    if hasattr(body, "conv_stem"):
        return [body.conv_stem, body.bn1, *body.blocks[:count]]
    return [body.conv1, *[body[f"layer{number + 1}"] for number in range(min(count, 4))]]


def compute_rate(step: int, steps: int, *, warm_up_share: float) -> float:
    """Return the learning rate of a step, as a share of the peak: up in a line, down a cosine."""
    warm_up = warm_up_share * steps
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))


def _train_epoch(
    network: MaskRCNN,
    optimizer: torch.optim.Optimizer,
    run: _Run,
    config: MaskRCNNTraining,
    epoch: int,
) -> dict[str, float]:
    """Show every image once and return the mean losses; all chance is of seed and epoch alone."""
    network.train()
    order = np.random.default_rng([config.seed, epoch]).permutation(len(run.train))
    batches = [order[i : i + config.batch_size] for i in range(0, len(order), config.batch_size)]
    steps = config.epochs * len(batches)
    totals: dict[str, float] = {}
    done = epoch * len(order)
    with _seeded(config.seed, epoch):
        for number, batch in enumerate(batches):
            step = epoch * len(batches) + number
            share = compute_rate(step, steps, warm_up_share=config.warm_up_share)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share
            rng = np.random.default_rng([config.seed, epoch, number])
            samples = [compose_sample(run.train[index], config, rng) for index in batch]
            for name, loss in _take_step(network, optimizer, samples, run.device).items():
                totals[name] = totals.get(name, 0.0) + loss
            done += len(batch)
            run.progress(done, config.epochs * len(order))
    return {name: total / len(order) for name, total in totals.items()}


def _take_step(
    network: MaskRCNN,
    optimizer: torch.optim.Optimizer,
    samples: Sequence[TrainingSample],
    device: str,
) -> dict[str, float]:
    """Take one step on the mean loss of some images and return the sums of their losses."""
    optimizer.zero_grad(set_to_none=True)
    totals: dict[str, float] = {}
    for sample in samples:
        _, losses = run_network(network, sample.image_rgb, sample.to_target(device))
        torch.autograd.backward(torch.stack(list(losses.values())).sum() / len(samples))
        for name, loss in losses.items():
            short = name.removeprefix("loss_")
            totals[short] = totals.get(short, 0.0) + float(loss.detach())
    nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimizer.step()
    return totals


def _measure(network: MaskRCNN, run: _Run, settings: MaskRCNNSettings) -> DetectionMetrics:
    """Measure the network on the held-out subjects, with its tensors as the file will hold them."""
    stored = copy.deepcopy(network)
    stored.load_state_dict(stored_tensors(network))
    detector = MaskRCNNDetector(stored, settings, weights_sha256="", device=run.device)
    return evaluate_on_images(detector, run.held_out)
