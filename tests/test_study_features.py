"""Cropping and embedding side by side."""

import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

from canemo import study_features
from canemo.backbones import Embedding, load_backbone
from canemo.config import load_config
from canemo.errors import ConfigError
from canemo.feature_files import load_features
from canemo.progress import silent
from canemo.study import load_study
from canemo.study_features import Cost, crop_and_embed
from painted import write_painted_study


class Colours:
    """Embeds a crop as its mean colour, slowly, and remembers which threads asked."""

    fingerprint = "colours"
    feature_dim, layer_dims, grid_shape = 3, (), (4, 4)

    def __init__(self, seconds=0.0, fail_at=None):
        self.seconds, self.fail_at, self.batches, self.threads = seconds, fail_at, 0, set()

    def embed(self, images_rgb):
        self.batches += 1
        self.threads.add(threading.current_thread().name)
        if self.batches == self.fail_at:
            raise RuntimeError("the network broke")
        time.sleep(self.seconds)
        cls = torch.from_numpy(np.stack([i.mean((0, 1)) for i in images_rgb])).float()
        tokens = cls[:, None].expand(-1, 16, -1)
        return Embedding(cls, tokens, tokens)


@pytest.fixture
def study(tmp_path):
    return load_study(write_painted_study(tmp_path / "study"))


CONFIG = load_config(overrides={"backbone": {"name": "efficientnet_lite0"}})


def embed_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("embed")]


def test_videos_are_embedded_in_their_order_while_others_are_cropped(study, painted_detector):
    told = []
    backbone, cost = Colours(seconds=0.02), Cost()
    crops, sources = crop_and_embed(
        study,
        CONFIG,
        painted_detector,
        backbone,
        progress=lambda stage, done, total: told.append((stage, done)),
        cost=cost,
    )
    assert [found.video.video_id for found, _ in sources] == [v.video_id for v in study.videos]
    features = load_features(sources)
    assert len(features) == len(crops.used) == cost.stages["embed"]["items"]
    assert list(features.origin["video_id"]) == list(crops.used["video_id"])
    assert backbone.threads == {"embed_0"}
    assert told.index(("embed", 1)) < told.index(("crop", len(study.videos)))
    assert not embed_threads()


def test_line_of_waiting_videos_is_bounded(study, painted_detector, monkeypatch):
    lengths = []
    add = study_features._EmbeddingQueue.add

    def watch(queue, found):
        add(queue, found)
        lengths.append(sum(not each.done() for each in queue._waiting))

    monkeypatch.setattr(study_features._EmbeddingQueue, "add", watch)
    backbone = Colours(seconds=0.25)
    crop_and_embed(study, CONFIG, painted_detector, backbone, progress=silent, cost=Cost())
    assert 2 <= max(lengths) <= study_features.WAITING_VIDEOS + 1  # one of them at work


def test_failing_network_ends_the_run_and_the_thread(study, painted_detector):
    with pytest.raises(RuntimeError, match="the network broke"):
        crop_and_embed(
            study, CONFIG, painted_detector, Colours(fail_at=3), progress=silent, cost=Cost()
        )
    assert not embed_threads()
    kept = list((study.root / "cache" / "features").glob("*"))
    assert len(kept) == 2  # those that were finished, and nothing half written


def test_interrupt_while_cropping_ends_the_thread_after_its_batch(study, painted_detector):
    class Interrupted:
        name, fingerprint, engine, score_threshold = "painted", "painted-1", "torch", 0.5
        calls = 0

        def detect(self, images_rgb):
            self.calls += 1
            if self.calls > 3:
                raise KeyboardInterrupt
            return painted_detector.detect(images_rgb)

    with pytest.raises(KeyboardInterrupt):
        crop_and_embed(
            study, CONFIG, Interrupted(), Colours(seconds=0.1), progress=silent, cost=Cost()
        )
    assert not embed_threads()
    assert not list(study.root.rglob(".*"))


def test_second_run_computes_nothing(study, painted_detector):
    first, again = Colours(), Colours()
    one = crop_and_embed(study, CONFIG, painted_detector, first, progress=silent, cost=Cost())
    cost = Cost()
    two = crop_and_embed(study, CONFIG, painted_detector, again, progress=silent, cost=cost)
    assert (first.batches, again.batches) == (len(study.videos), 0)
    assert cost.stages["embed"]["items"] == 0
    assert cost.stages["embed"]["cached"] == len(one[0].used)
    assert [path for _, path in one[1]] == [path for _, path in two[1]]


@pytest.mark.slow
def test_int8_embeds_a_study_as_the_other_precisions_do(study, painted_detector, monkeypatch):
    pytest.importorskip("nncf", reason="needs the extra canemo[int8]")
    monkeypatch.setattr("canemo.engines.quantise.CALIBRATED_ON", 24)
    config = load_config(
        overrides={"backbone": {"name": "efficientnet_lite0", "precision": "int8"}}
    )
    backbone = study_features.load_configured_backbone(config)
    found = backbone.describe_engine()
    assert (found["engine"], found["precision"], found["device"]) == ("openvino", "int8", "cpu")
    _, sources = crop_and_embed(
        study, config, painted_detector, backbone, progress=silent, cost=Cost()
    )
    _, others = crop_and_embed(
        study, CONFIG, painted_detector, load_backbone("efficientnet_lite0"),
        progress=silent, cost=Cost(),
    )  # fmt: skip
    a, b = load_features(sources).cls.astype(float), load_features(others).cls.astype(float)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert 0.8 < cosine.min() < 0.99999  # calibrated on few pictures
    pd.testing.assert_frame_equal(load_features(sources).origin, load_features(others).origin)


def test_int8_without_openvino_is_refused_before_any_work():
    config = load_config(overrides={"backbone": {"precision": "int8", "engine": "torch"}})
    with pytest.raises(ConfigError, match="torch has no int8"):
        study_features.load_configured_backbone(config)
