"""Cropping and embedding side by side."""

import shutil
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

from canemo.config import load_config
from canemo.errors import ConfigError
from canemo.features.extraction import Extraction
from canemo.features.store import load_features
from canemo.networks.backbones import Embedding, load_backbone
from canemo.parallel import silent
from canemo.pipeline import extract as module
from canemo.pipeline import plan
from canemo.pipeline.extract import Cost, crop_and_embed
from canemo.study.load import load_study
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


class SlowToStart(Colours):
    """Takes its time with the first video, in which many others can be cropped."""

    def embed(self, images_rgb):
        if self.batches == 0:
            time.sleep(0.8)
        return super().embed(images_rgb)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    return write_painted_study(tmp_path_factory.mktemp("painted") / "study")


@pytest.fixture
def study(painted, tmp_path):
    return load_study(shutil.copytree(painted, tmp_path / "study"))


CONFIG = load_config(overrides={"backbone": {"name": "efficientnet_lite0"}})


def extract(study, detector, backbone, *, progress=silent, cost=None, config=CONFIG):
    """Return the crops of a study and its features by one backbone."""
    extraction = Extraction(config, detector, (backbone,), study.root / "cache")
    crops, (embedded,) = crop_and_embed(study, extraction, progress=progress, cost=cost or Cost())
    return crops, embedded


def embed_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("embed")]


def test_videos_are_embedded_in_their_order_while_others_are_cropped(study, painted_detector):
    told = []
    backbone = Colours(seconds=0.02)
    crops, embedded = extract(
        study,
        painted_detector,
        backbone,
        progress=lambda stage, done, total: told.append((stage, done)),
    )
    sources = embedded.sources
    assert [found.video.video_id for found, _ in sources] == [v.video_id for v in study.videos]
    features = load_features(sources)
    assert len(features) == len(crops.used) == embedded.cost["items"]
    assert list(features.origin["video_id"]) == list(crops.used["video_id"])
    assert backbone.threads == {"embed_0"}
    assert told.index(("embed", 1)) < told.index(("crop", len(study.videos)))
    assert not embed_threads()


def test_line_of_waiting_videos_is_bounded(study, painted_detector, monkeypatch):
    lengths = []
    add = module._EmbeddingQueue.add

    def watch(queue, found):
        add(queue, found)
        lengths.append(sum(not each.done() for each in queue._waiting))

    monkeypatch.setattr(module._EmbeddingQueue, "add", watch)
    extract(study, painted_detector, SlowToStart())
    assert 2 <= max(lengths) <= module.WAITING_VIDEOS + 1  # one of them at work


def test_failing_network_ends_the_run_and_the_thread(study, painted_detector):
    with pytest.raises(RuntimeError, match="the network broke"):
        extract(study, painted_detector, Colours(fail_at=3))
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
        extract(study, Interrupted(), Colours(seconds=0.1))
    assert not embed_threads()
    assert not list(study.root.rglob(".*"))


def test_second_run_computes_nothing(study, painted_detector):
    first, again = Colours(), Colours()
    crops, one = extract(study, painted_detector, first)
    cost = Cost()
    _, two = extract(study, painted_detector, again, cost=cost)
    assert (first.batches, again.batches) == (len(study.videos), 0)
    assert (cost.stages["crop"]["items"], cost.stages["crop"]["cached"]) == (0, len(study.videos))
    assert (two.cost["items"], two.cost["cached"]) == (0, len(crops.used))
    assert [path for _, path in one.sources] == [path for _, path in two.sources]


def test_several_backbones_embed_the_same_crops_of_each_video_in_turn(study, painted_detector):
    order = []

    class Named(Colours):
        def __init__(self, name):
            super().__init__()
            self.fingerprint = name

        def embed(self, images_rgb):
            order.append(self.fingerprint)
            return super().embed(images_rgb)

    backbones = (Named("one"), Named("two"))
    extraction = Extraction(CONFIG, painted_detector, backbones, study.root / "cache")
    crops, made = crop_and_embed(study, extraction, progress=silent, cost=Cost())
    assert order == ["one", "two"] * len(study.videos)
    one, two = (load_features(each.sources) for each in made)
    np.testing.assert_array_equal(one.cls, two.cls)
    pd.testing.assert_frame_equal(one.origin, two.origin)
    assert [each.cost["items"] for each in made] == [len(crops.used)] * 2
    assert {path for _, path in made[0].sources}.isdisjoint(path for _, path in made[1].sources)


def test_a_video_alone_goes_the_way_of_those_of_a_study(study, painted_detector):
    backbone = Colours()
    _, embedded = extract(study, painted_detector, backbone)
    extraction = Extraction(CONFIG, painted_detector, (backbone,), study.root / "other")
    for video, (crops, path) in zip(study.videos, embedded.sources, strict=True):
        alone, (features,) = extraction.extract(video)
        assert (alone.path.name, features.path.name) == (crops.path.name, path.name)
        a, b = load_features([(alone, features.path)]), load_features([(crops, path)])
        np.testing.assert_array_equal(a.cls, b.cls)


@pytest.mark.slow
def test_int8_embeds_a_study_as_the_other_precisions_do(study, painted_detector, monkeypatch):
    pytest.importorskip("nncf", reason="needs the extra canemo[int8]")
    monkeypatch.setattr("canemo.networks.engines.quantise.CALIBRATED_ON", 24)
    config = load_config(
        overrides={"backbone": {"name": "efficientnet_lite0", "precision": "int8"}}
    )
    backbone = plan.load_configured_backbone(config)
    found = backbone.describe_engine()
    assert (found["engine"], found["precision"], found["device"]) == ("openvino", "int8", "cpu")
    _, embedded = extract(study, painted_detector, backbone, config=config)
    _, other = extract(study, painted_detector, load_backbone("efficientnet_lite0"))
    a, b = (load_features(each.sources).cls.astype(float) for each in (embedded, other))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert 0.8 < cosine.min() < 0.99999  # calibrated on few pictures
    origins = [load_features(each.sources).origin for each in (embedded, other)]
    pd.testing.assert_frame_equal(*origins)


def test_int8_without_openvino_is_refused_before_any_work():
    settings = {"name": "efficientnet_lite0", "precision": "int8", "engine": "torch"}
    config = load_config(overrides={"backbone": settings})
    with pytest.raises(ConfigError, match="torch has no int8"):
        plan.load_configured_backbone(config)
