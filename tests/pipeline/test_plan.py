"""Whatever can be refused is refused before the first frame is read, whichever command asks."""

from types import SimpleNamespace

import pytest

import canemo
from canemo.config import load_config
from canemo.errors import ConfigError, SplitError, StudyError
from canemo.learn.splits import Fold, Split
from canemo.pipeline.plan import prepare
from canemo.trust.comparison import list_entrants
from painted import write_painted_study

COMMANDS = {
    "run": canemo.run,
    "evaluate": canemo.evaluate_study,
    "compare": canemo.compare_models,
    "audit": canemo.audit_study,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_painted_study(tmp_path_factory.mktemp("plan") / "study", subjects=3, clips=2)


@pytest.fixture(params=COMMANDS)
def refused(request, study, painted_detector):
    """Return a function that asks for something and checks that nothing was read or written."""

    def ask(error, message, root=study, **overrides):
        backbone = {"name": "efficientnet_lite0", **overrides.pop("backbone", {})}
        config = load_config(root, overrides={"backbone": backbone, **overrides})
        with pytest.raises(error, match=message):
            COMMANDS[request.param](root, config=config)
        assert painted_detector.images_seen == 0
        assert not (root / "cache").exists()
        assert not list(root.glob("runs/*")) + list(root.glob("comparisons/*"))

    return ask


def test_unknown_poolings_and_labels_are_refused(refused):
    refused(ConfigError, "'median'; there are cls, mean", probe={"pooling": "median"})
    refused(ConfigError, "labels are anticipation, frustration", study={"positive_label": "joy"})


def test_methods_that_cannot_choose_are_refused(refused):
    sweep = {"poolings": ("cls", "mean")}
    refused(ConfigError, "only 'lda' chooses among", probe={"method": "logistic"}, sweep=sweep)
    probe = {"method": "gradient", "frames": "even:2"}
    refused(ConfigError, "'gradient' learns from all frames", probe=probe)


def test_poolings_that_the_backbone_has_not_got_are_refused(refused, monkeypatch):
    monkeypatch.setattr(
        "canemo.pipeline.plan.load_configured_backbone",
        lambda *_, **__: SimpleNamespace(layer_dims=()),
    )
    message = r"'layer3' needs layers .* which efficientnet_lite0 does not have; there are cls"
    refused(ConfigError, message, probe={"pooling": "layer3"})


def test_studies_that_allow_no_test_are_refused(refused, tmp_path):
    for name, (before, after), error, message in (
        ("one_label", ("frustration", "anticipation"), StudyError, "at least two labels"),
        ("one_dog", (",dog1,", ",dog0,"), SplitError, "at least 2"),
    ):
        root = write_painted_study(tmp_path / name, subjects=2, clips=2)
        table = root / "videos.csv"
        table.write_text(table.read_text().replace(before, after))
        refused(error, message, root=root)


def test_each_compared_method_is_asked_whether_it_can(study, painted_detector):
    config = load_config(
        study,
        overrides={
            "backbone": {"name": "efficientnet_lite0"},
            "probe": {"frames": "even:2"},
            "compare": {"methods": ("lda", "gradient")},
        },
    )
    with pytest.raises(ConfigError, match="'gradient' learns from all frames"):
        canemo.compare_models(study, config=config)
    assert painted_detector.images_seen == 0


def test_plan_holds_what_is_compared_once_and_its_own_backbone_otherwise(study, painted_detector):
    config = load_config(
        study,
        overrides={
            "backbone": {"name": "efficientnet_lite0"},
            "compare": {"methods": ("lda", "logistic")},
        },
    )
    for entrants in ((), list_entrants(config)):
        plan = prepare(study, config, entrants=entrants)
        assert list(plan.backbones) == ["efficientnet_lite0"]
        assert plan.extraction.backbones == (plan.backbone,)
        assert plan.extraction.cache_dir == study / "cache"
        assert (len(plan.split.folds), plan.missing) == (3, {})
        assert set(plan.cost.stages) == {"load"}


def test_folds_of_a_finished_run_are_taken_as_they_are(study, painted_detector):
    kept = Split("loso", 0, (Fold(("dog0", "dog1"), ("dog2",)),))
    config = load_config(study, overrides={"backbone": {"name": "efficientnet_lite0"}})
    assert prepare(study, config, split=kept).split is kept
