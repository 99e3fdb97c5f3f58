"""A package adds a backbone, a detector and a format without a change to canemo."""

import logging
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image as PilImage

import canemo
from canemo.config import load_config
from canemo.errors import AnnotationError, ConfigError
from canemo.faces.annotations.importing import import_annotations
from canemo.faces.detect.registry import ALL_DETECTORS, load_detector
from canemo.formats.boxes.coco import load_coco
from canemo.formats.boxes.kinds import ALL_FORMATS, guess_kind
from canemo.networks.backbone_specs import ALL_BACKBONES, BACKBONES, find_backbone
from canemo.networks.backbones import load_backbone, write_random_weights
from painted import paint, write_painted_study

TINY = """
import numpy as np

from canemo.networks.backbone_specs import BackboneSpec, PackagedFile
from canemo.formats.boxes.kinds import FaceFormat
from canemo.formats.boxes.labelled import DrawnFace, LabelledImage, Source, read_text
from canemo.errors import AnnotationError
from canemo.records import Face

backbone = BackboneSpec(
    "tiny_net",
    "test_resnet",
    "random numbers",
    packaged=PackagedFile("tiny", "weights.safetensors", "pip install tiny"),
)


class RedDetector:
    name, fingerprint, engine, score_threshold = "red", "red-1", "torch", 0.5

    def detect(self, images_rgb):
        return [self._find(image) for image in images_rgb]

    def _find(self, image):
        ys, xs = np.nonzero((image[..., 0] > 150) & (image[..., 1] < 90))
        if not len(xs):
            return []
        return [Face((float(xs.min()), float(ys.min()), xs.max() + 1.0, ys.max() + 1.0), 0.9)]


def make_detector(engine, device):
    return RedDetector()


def read_lines(source, problems, reading):
    images = []
    for number, line in enumerate(read_text(source).splitlines(), start=1):
        where = f"line {number}"
        with problems.gather(where):
            name, *box = line.split()
            if len(box) != 4:
                raise AnnotationError(f"{len(box)} numbers, 4 are wanted")
            face = DrawnFace(where, "face", tuple(map(float, box)))
            images.append(LabelledImage(where, (name,), (face,)))
    return Source(images=tuple(images))


lines = FaceFormat("lines of text", lambda content: content.suffix == ".lines", read_lines)
"""

OFFERS = {
    "canemo.backbones": {"tiny_net": "tiny:backbone"},
    "canemo.detectors": {"tiny_red": "tiny:make_detector"},
    "canemo.formats": {"lines": "tiny:lines"},
}


def install(folder, offers, *, name="tiny", version="1.0", code=None):
    """Put a package into a folder, as an installer leaves it."""
    if code is not None:
        package = folder / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(textwrap.dedent(code), encoding="utf-8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    lines = []
    for group, entries in offers.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder that Python looks into for packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("tiny", "broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def tiny(site):
    install(site, OFFERS, code=TINY)
    write_random_weights("tiny_net", site / "tiny" / "weights.safetensors")
    return site


# -- a package that works --------------------------------------------------------------------------


def test_study_is_embedded_with_backbone_and_detector_of_a_package(tiny, tmp_path):
    study = write_painted_study(tmp_path / "study", subjects=2, clips=2)
    config = load_config(
        study, overrides={"backbone": {"name": "tiny_net"}, "detect": {"detector": "tiny_red"}}
    )
    features = canemo.embed_study(study, config=config)
    assert len(features.origin) == 2 * 2 * 5
    assert features.cls.shape[1] == load_backbone("tiny_net").feature_dim


def test_detector_of_a_package_finds_faces_and_is_known_by_its_package(tiny):
    detector = load_detector("tiny_red")
    (faces,) = detector.detect([paint(("red", 20, 30, 40))])
    assert faces[0].box_xyxy == (20, 30, 60, 70)
    assert (detector.name, detector.engine, detector.score_threshold) == ("tiny_red", "torch", 0.5)
    assert detector.fingerprint != "red-1"


def test_format_of_a_package_is_recognised_and_read(tiny, tmp_path):
    PilImage.fromarray(paint(("red", 20, 30, 40))).save(tmp_path / "a.png")
    source = tmp_path / "faces.lines"
    source.write_text("a.png 20 30 60 70\n")
    assert guess_kind(source) == "lines"
    for kind in (None, "lines"):
        found = import_annotations(source, tmp_path, kind=kind, force=True)
        assert (found.images, found.boxes) == (1, 1)
        (image,) = load_coco(found.coco_file)
        assert image.boxes_xyxy[0] == (20, 30, 60, 70)
    source.write_text("a.png 20 30 60\n")
    with pytest.raises(AnnotationError, match="line 1: 3 numbers, 4 are wanted"):
        import_annotations(source, tmp_path, force=True)


def test_another_version_of_a_package_has_other_fingerprints(tiny):
    before = load_backbone("tiny_net"), load_detector("tiny_red")
    (tiny / "tiny-1.0.dist-info").rename(tiny / "old")
    install(tiny, OFFERS, version="1.1")
    after = load_backbone("tiny_net"), load_detector("tiny_red")
    assert [each.fingerprint for each in before] != [each.fingerprint for each in after]
    assert before[0].fingerprint != after[0].fingerprint
    assert before[0].network.fingerprint != after[0].network.fingerprint
    assert before[1].fingerprint != after[1].fingerprint
    image = [np.full((64, 64, 3), 99, np.uint8)]
    assert (before[0].embed(image).cls == after[0].embed(image).cls).all()


def test_backbone_may_be_a_function_that_gives_one(site):
    install(
        site,
        {"canemo.backbones": {"made": "tiny:make"}},
        code=f"{TINY}\nmake = lambda: backbone",
    )
    spec = find_backbone("made")
    assert (spec.name, spec.timm_name, spec.origin) == ("made", "test_resnet", "tiny 1.0")


def test_doctor_lists_what_packages_add(tiny, monkeypatch):
    monkeypatch.setattr("canemo.pipeline.doctor.recall_choice", lambda network: None)
    install(tiny, {"canemo.formats": {"bad": "broken:thing"}}, name="broken", code="")
    found = canemo.doctor()
    refused = found["added by packages"].pop("format bad")
    assert refused.startswith("refused: the format 'bad' of broken 1.0 cannot be used")
    assert found["added by packages"] == {
        "backbone tiny_net": "ready, from tiny 1.0",
        "detector tiny_red": "ready, from tiny 1.0",
        "format lines": "ready, from tiny 1.0",
    }
    assert found["backbones"]["tiny_net"] == "ready: weights.safetensors"
    assert found["engines"]["tiny_net"]


def test_unknown_names_are_refused_with_those_of_packages_too(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"there are .*focus_vits14, tiny_net, timm:NAME"):
        load_backbone("nothing")
    with pytest.raises(ConfigError, match="there are dog_head, whole_frame, tiny_red, or give"):
        load_detector("nothing")
    with pytest.raises(ConfigError, match=r"there are coco, .*label_studio, lines"):
        import_annotations(tmp_path / "x", tmp_path, kind="nothing")
    (tmp_path / "a.csv").write_text("a,b\n")
    with pytest.raises(AnnotationError, match=r"is none of COCO .*, lines of text"):
        guess_kind(tmp_path / "a.csv")


# -- packages that do not --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('the licence has run out')", "RuntimeError: the licence has run out"),
        ("", "AttributeError"),
        ("thing = 5", "ConfigError: it is a int"),
    ],
)
def test_package_that_fails_is_named_and_the_rest_works(tiny, caplog, code, reason):
    groups = ("canemo.backbones", "canemo.detectors", "canemo.formats")
    install(
        tiny, {group: {"bad": "broken:thing"} for group in groups}, name="broken", version="2.0",
        code=code,
    )  # fmt: skip
    for registry in (ALL_BACKBONES, ALL_DETECTORS, ALL_FORMATS):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "canemo"):
            found = registry.load_all()
        assert "bad" not in found
        assert set(registry) - {"bad"} == set(found)
        assert f"the {registry.kind} 'bad' of broken 2.0 cannot be used ({reason}" in caplog.text
        with pytest.raises(ConfigError, match=r"'bad' of broken 2\.0 cannot be used"):
            registry.get("bad")
        assert registry.describe_added()[f"{registry.kind} bad"].startswith("refused: the")
    assert load_backbone("tiny_net").feature_dim


def test_two_packages_of_one_name_are_both_refused_by_name(tiny, caplog):
    install(tiny, {"canemo.detectors": {"tiny_red": "tiny:make_detector"}}, name="other")
    with pytest.raises(
        ConfigError, match=r"the detector 'tiny_red' is offered by other 1\.0 and tiny 1\.0"
    ):
        load_detector("tiny_red")
    assert "tiny_red" not in ALL_DETECTORS.load_all()
    assert "uninstall all but one" in caplog.text
    assert load_detector("whole_frame").name == "whole_frame"
    assert "other 1.0 and tiny 1.0" in ALL_DETECTORS.describe_added()["detector tiny_red"]


def test_name_of_canemo_stays_with_canemo(site, caplog):
    install(site, {"canemo.backbones": {"efficientnet_lite0": "tiny:backbone"}}, code=TINY)
    assert find_backbone("efficientnet_lite0") is BACKBONES["efficientnet_lite0"]
    assert "'efficientnet_lite0' of tiny 1.0 is left aside: canemo's own" in caplog.text
    caplog.clear()
    assert ALL_BACKBONES.load_all() == BACKBONES
    assert "left aside" in caplog.text


def test_detector_that_lacks_something_is_refused_when_it_is_made(site):
    code = "def make(engine, device):\n    return object()\n"
    install(site, {"canemo.detectors": {"empty": "tiny:make"}}, code=code)
    with pytest.raises(
        ConfigError, match=r"'empty' of tiny 1.0 has no fingerprint, engine, score_threshold, det"
    ):
        load_detector("empty")
