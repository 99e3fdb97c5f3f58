"""Whatever can be refused is refused before the first frame is read, whichever command asks."""

from types import SimpleNamespace

import pytest

import canemo
from canemo.config import load_config
from canemo.errors import ConfigError, SplitError, StudyError
from canemo.learn.splits import Fold, Split
from canemo.networks.auto import BackboneChoice
from canemo.networks.backbone_specs import AUTO_ORDER
from canemo.pipeline import plan as plans
from canemo.pipeline.plan import prepare, settle_backbone
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


def test_regions_and_points_that_are_not_there_are_refused(refused):
    refused(ConfigError, "no region 'tail'|needs regions", probe={"pooling": "region:tail"})
    sweep = {"poolings": ("cls", "cls*2,mean")}
    refused(ConfigError, "shares are for several blocks and for all of them", sweep=sweep)
    probe = {"method": "gradient", "pooling": "cls,geometry"}
    refused(ConfigError, "'gradient' learns from augmented pictures", probe=probe)


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


CHOSEN = BackboneChoice("new", "chosen", better="old, with x")


@pytest.fixture
def auto_runs(tmp_path, monkeypatch):
    """Return a function that leaves a finished run: of which backbone, and why that one."""

    def leave(name, backbone, reason):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").touch()
        known[folder] = SimpleNamespace(backbone=backbone, backbone_reason=reason)

    known = {}
    monkeypatch.setattr(
        plans.RunMetrics, "read", lambda path: SimpleNamespace(protocol=known[path.parent])
    )
    monkeypatch.setattr(plans, "choose_backbone", lambda weights: CHOSEN)
    monkeypatch.setattr(plans, "is_here", lambda name: name != "gone")
    monkeypatch.setattr(plans, "list_better", lambda name: [])
    return leave


def settle(root, **settings):
    config, reason = settle_backbone(root, load_config(overrides={"backbone": settings}))
    return config.backbone.name, reason


def test_auto_is_what_it_was_for_the_latest_run_that_it_chose_for(tmp_path, auto_runs):
    assert settle(tmp_path) == ("new", "chosen")
    auto_runs("named by hand", "resnet50", "")
    assert settle(tmp_path) == ("new", "chosen")
    auto_runs("of a package that went", "gone", "was here")
    assert settle(tmp_path) == ("new", "chosen")
    auto_runs("by auto", "efficientnet_lite0", "installed")
    assert settle(tmp_path) == ("efficientnet_lite0", "installed")
    assert settle(tmp_path, weights="other.pth") == ("new", "chosen")
    assert settle(tmp_path, name="vits16") == ("vits16", "")


def test_the_log_says_what_is_taken_and_what_has_come_since(
    tmp_path, auto_runs, monkeypatch, caplog
):
    caplog.set_level("INFO", "canemo.pipeline.plan")
    settle(tmp_path, name="vits16")
    assert caplog.text == ""
    settle(tmp_path)
    assert caplog.messages == ["network: new (may do better: old, with x)"]
    caplog.set_level("DEBUG", "canemo.pipeline.plan")
    settle(tmp_path)
    assert caplog.messages[-1] == "why this network: chosen"
    auto_runs("by auto", "efficientnet_lite0", "installed")
    monkeypatch.setattr(plans, "list_better", lambda name: ["dino_vits8"])
    settle(tmp_path)
    assert "as for the study's latest run (came since: dino_vits8; --backbone" in caplog.text


def test_runs_that_cannot_be_read_say_nothing_of_auto(tmp_path):
    folder = tmp_path / "runs" / "old"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{}")
    assert settle(tmp_path)[0] in AUTO_ORDER
