"""Train a Mask R-CNN on faces of known subjects: loop, checkpoint, the best epoch kept."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models.detection import MaskRCNN

from canemo.errors import (
    ConfigError,
    OutputExistsError,
    WeightsError,
    first_line,
)
from canemo.faces.detect.mask_rcnn import (
    MaskRCNNDetector,
    MaskRCNNSettings,
    read_mask_rcnn_settings,
    run_network,
    save_network,
)
from canemo.faces.training.evaluate import DetectionMetrics, evaluate_on_images
from canemo.faces.training.records import EpochRecord, MaskRCNNTraining, TrainingRecord, read_record
from canemo.faces.training.samples import (
    TrainingSample,
    check_files,
    compose_sample,
    count_boxes,
    draw_held_out,
    warn_of_bare_boxes,
)
from canemo.faces.training.start import StartingWeights, build_from_start
from canemo.files import hash_values, replacing, sha256_file, write_atomically
from canemo.formats.boxes.coco import AnnotatedImage
from canemo.networks.network_files import stored_tensors
from canemo.networks.weights import require_device
from canemo.parallel import ProgressFn

logger = logging.getLogger(__name__)


def train_mask_rcnn(
    images: Sequence[AnnotatedImage],
    subject_ids: Sequence[str],
    out: Path,
    *,
    config: MaskRCNNTraining,
    start: StartingWeights,
    device: str = "cpu",
    force: bool = False,
    progress: ProgressFn | None = None,
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
        From `canemo.faces.training.start.find_start`.
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
    check_files(images)
    record = _plan(images, subject_ids, config, start)
    finished = _finished_record(out, record.key)
    if finished is not None:
        logger.info("%s: is complete, nothing is left to train", out)
        return finished
    _check_out(out, record.key, force=force)
    warn_of_bare_boxes(count_boxes(images))
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
        train_counts=count_boxes([image for image, who in pairs if who not in held_out]),
        held_out_counts=count_boxes([image for image, who in pairs if who in held_out]),
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
        return read_record(json.loads(path.read_text(encoding="utf-8")))
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
        return read_mask_rcnn_settings(out).version == key
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
    progress: ProgressFn

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
                logger.info("%s: is of another training and not used", self.checkpoint)
                return record
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
            resumed = read_record(json.loads(state["history"]))
        except Exception as exc:  # unpickling a damaged file can raise anything
            raise WeightsError(
                f"{self.checkpoint}: is damaged ({first_line(exc)}); delete it to train from "
                "the beginning."
            ) from exc
        logger.info("going on after epoch %d of %d", len(resumed.epochs), resumed.config.epochs)
        return resumed


def _log_epoch(epoch: EpochRecord, epochs: int) -> None:
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in epoch.losses.items())
    logger.info(
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
