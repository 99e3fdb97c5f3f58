from types import SimpleNamespace

import numpy as np
import pytest

from canemo.config import load_config
from canemo.explain.decision import Decision
from canemo.explain.maps.methods import METHODS, map_decisions
from canemo.features.extraction import Extraction
from canemo.learn.learner import Fitted
from canemo.learn.material import Material
from canemo.learn.saved_model import read_model
from canemo.networks.backbones import load_backbone
from canemo.parallel import silent
from canemo.pipeline import pictures
from canemo.pipeline.extract import Cost, crop_videos
from canemo.pipeline.pictures import draw_examples
from canemo.report.charts.crops import overlay_evidence
from canemo.study.load import load_study
from explained_runs import DOGS, EXACT, LABELS, READS_CLS

NAMES = ["decision.png", "eigencam.png"]


@pytest.fixture
def crops(explainable_study, painted_detector):
    study = load_study(explainable_study)
    config = load_config(explainable_study)
    extraction = Extraction(config, painted_detector, (), study.root / "cache")
    return crop_videos(study, extraction, progress=silent, cost=Cost())


@pytest.fixture
def backbone(explainable_study):
    saved = read_model(explainable_study / "runs" / EXACT)
    return load_backbone(saved.config.backbone.name, weights=saved.config.backbone.weights)


@pytest.fixture
def sheets(monkeypatch):
    """What is drawn, by file: the rows of pictures and the options."""
    drawn, kept = {}, []

    def draw(rows, **options):
        kept.append((rows, options))
        return SimpleNamespace(number=len(kept) - 1)

    monkeypatch.setattr(pictures, "draw_picture_rows", draw)
    monkeypatch.setattr(
        pictures, "save_figure", lambda figure, path: drawn.update({path.name: kept[figure.number]})
    )
    return drawn


def make_work(crops, backbone, *, positive_label=LABELS[0]):
    metrics = SimpleNamespace(protocol=SimpleNamespace(positive_label=positive_label))
    return SimpleNamespace(crops=crops, plan=SimpleNamespace(backbone=backbone), metrics=metrics)


def make_fitted(classifier, crops, *, pooling):
    origin = crops.used
    return Fitted(classifier, Material(np.zeros((len(origin), 1)), origin, LABELS, pooling))


def saved_probe(study, name):
    return read_model(study / "runs" / name).classifier


def test_run_has_the_pictures_of_its_probe(explainable_study):
    figures = explainable_study / "runs" / EXACT / "figures"
    assert sorted(path.name for path in figures.iterdir()) == NAMES
    report = (explainable_study / "runs" / EXACT / "report.html").read_text(encoding="utf-8")
    assert "What speaks for and against “anticipation” in single crops" in report


@pytest.mark.parametrize(("name", "title"), [(EXACT, "exact contributions"), (READS_CLS, "grad")])
def test_decision_is_drawn_with_its_sign(
    explainable_study, crops, backbone, sheets, tmp_path, name, title
):
    fitted = make_fitted(saved_probe(explainable_study, name), crops, pooling=name)
    told = []
    draw_examples(
        make_work(crops, backbone), fitted, tmp_path, progress=lambda *step: told.append(step)
    )
    assert sorted(sheets) == NAMES
    rows, options = sheets["decision.png"]
    assert options["signed"]
    assert options["scale_title"].startswith(title)
    assert options["scale_title"].endswith("against (-1) and for (1) anticipation")
    assert list(rows) == list(LABELS)
    for label in LABELS:
        cells = [cell for line in rows[label] for cell in line]
        assert [caption for caption, _ in cells[::2]] == [f"dog{dog}" for dog in range(DOGS)]
        assert all(len(line) <= 6 for line in rows[label])
    assert not sheets["eigencam.png"][1].get("signed", False)
    assert told == [("explain", 0, 1), ("explain", 1, 1)]


@pytest.mark.parametrize("positive_label", LABELS)
def test_overlays_are_the_evidence_for_the_positive_label_on_one_scale(
    explainable_study, crops, backbone, sheets, tmp_path, positive_label
):
    probe = saved_probe(explainable_study, EXACT)
    draw_examples(
        make_work(crops, backbone, positive_label=positive_label),
        make_fitted(probe, crops, pooling=EXACT),
        tmp_path,
        progress=silent,
    )
    rows, _ = sheets["decision.png"]
    cells = {label: [cell for line in rows[label] for cell in line] for label in LABELS}
    images = {label: [image for _, image in some[::2]] for label, some in cells.items()}
    maps = {
        label: map_decisions(
            some, METHODS["contribution"], backbone=backbone,
            decisions=[Decision(probe, EXACT, positive_label)],
        )[0]
        for label, some in images.items()
    }  # fmt: skip
    full = max(np.quantile(np.abs(each), 0.99) for each in maps.values())
    for label in LABELS:
        drawn = [image for _, image in cells[label][1::2]]
        for image, each, found in zip(images[label], maps[label], drawn, strict=True):
            expected = overlay_evidence(image, np.clip(each / full, -1, 1))
            np.testing.assert_array_equal(found, expected)
    own, other = (
        maps[label].sum(axis=(1, 2)) for label in sorted(LABELS, key=positive_label.__ne__)
    )
    assert own.min() > other.max()


def test_what_only_occlusion_could_tell_is_not_drawn(
    explainable_study, crops, backbone, sheets, tmp_path
):
    probe = saved_probe(explainable_study, EXACT)
    fitted = make_fitted(probe, crops, pooling="layer2")
    draw_examples(make_work(crops, backbone), fitted, tmp_path, progress=silent)
    assert sorted(sheets) == ["eigencam.png"]


def test_model_of_whole_clips_has_no_picture_of_its_decision(crops, backbone, sheets, tmp_path):
    fitted = make_fitted(SimpleNamespace(labels=LABELS), crops, pooling=EXACT)
    draw_examples(make_work(crops, backbone), fitted, tmp_path, progress=silent)
    assert sorted(sheets) == ["eigencam.png"]
