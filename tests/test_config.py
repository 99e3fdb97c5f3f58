import tomllib

import pytest

from canemo.config import (
    PRESETS,
    Config,
    find_departures,
    format_config,
    format_preset,
    load_config,
    read_config,
    read_preset,
)
from canemo.errors import ConfigError
from canemo.learn.splits import make_split
from canemo.networks.backbone_specs import BACKBONES


def write(folder, text):
    (folder / "canemo.toml").write_text(text, encoding="utf-8")
    return folder


def test_options_override_the_file_which_overrides_the_defaults(tmp_path):
    write(tmp_path, "[evaluate]\nseed = 5\nresamples = 300\n")
    config = load_config(tmp_path, overrides={"evaluate": {"seed": 0}})
    assert config.evaluate.seed == 0
    assert config.evaluate.resamples == 300
    assert config.evaluate.split == Config().evaluate.split


def test_every_nth_replaces_the_default_rate():
    config = load_config(overrides={"video": {"every_nth": 1}})
    assert (config.video.every_nth, config.video.fps) == (1, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[probe]\npoolng = 'cls'\n", "unknown key 'probe.poolng'.*'probe.pooling'"),
        ("[prob]\npooling = 'cls'\n", "unknown key 'prob'.*'probe'"),
        ("[video]\nfps = 0\n", "video.fps = 0"),
        ("[video]\nfps = 5\nevery_nth = 2\n", "either fps or every_nth"),
        ("[evaluate]\nseed = -1\n", "evaluate.seed = -1"),
        ("[probe]\npenalties = [0.0]\n", "probe.penalties.0 = 0.0"),
        ("[crop]\njpeg_quality = 60\n", "crop.jpeg_quality = 60"),
        ("backbone = 'resnet50'\n", "backbone = 'resnet50'"),
        ("[probe]\nclass_weight = 'even'\n", "probe.class_weight = 'even'"),
        ("[video\n", "not valid TOML"),
    ],
)
def test_bad_settings_are_one_line_that_names_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, text))
    assert "canemo.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_option_for_one_rate_drops_the_other_of_the_file(tmp_path):
    write(tmp_path, "[video]\nfps = 10\n")
    config = load_config(tmp_path, overrides={"video": {"every_nth": 3}})
    assert (config.video.every_nth, config.video.fps) == (3, None)
    write(tmp_path, "[video]\nevery_nth = 4\n")
    config = load_config(tmp_path, overrides={"video": {"fps": 2.0}})
    assert (config.video.every_nth, config.video.fps) == (None, 2.0)


def test_paths_in_the_file_are_relative_to_the_study(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"x")
    write(tmp_path, "[backbone]\nweights = 'w.pth'\n")
    assert load_config(tmp_path).backbone.weights == (tmp_path / "w.pth").resolve()


def test_bad_option_is_not_blamed_on_a_file(tmp_path):
    with pytest.raises(ConfigError, match=r"^options: crop.margin = 7"):
        load_config(tmp_path, overrides={"crop": {"margin": 7}})


def test_written_settings_come_back_equal(tmp_path):
    config = load_config(overrides={"video": {"every_nth": 3}, "study": {"positive_label": "spaß"}})
    path = tmp_path / "config.toml"
    path.write_text(format_config(config), encoding="utf-8")
    assert read_config(path) == config


def test_byte_order_mark_is_read(tmp_path):
    (tmp_path / "canemo.toml").write_bytes(b"\xef\xbb\xbf[evaluate]\nseed = 4\n")
    assert load_config(tmp_path).evaluate.seed == 4


# -- presets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_prints_and_departs_from_nothing(name, tmp_path):
    config = load_config(preset=name)
    assert config.preset == name
    assert find_departures(config) == {}
    text = format_preset(name)
    assert text.startswith("#")  # it says what it is for
    for section, entries in tomllib.loads(text).items():
        for key, value in entries.items():
            found = config.model_dump(mode="json")[section][key]
            assert found == value, f"{section}.{key}"
    path = tmp_path / "config.toml"
    path.write_text(format_config(config), encoding="utf-8")
    assert read_config(path) == config
    assert find_departures(read_config(path)) == {}
    dogs = [f"dog{i:02d}" for i in range(29)]
    assert make_split(dogs, kind=config.evaluate.split).folds
    assert set(config.compare.backbones) | {config.backbone.name} <= set(BACKBONES)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_changes_only_what_its_file_holds(name):
    named = {
        f"{section}.{key}" for section, rest in read_preset(name).items() if section != "preset"
        for key in rest
    }  # fmt: skip
    plain, preset = load_config(), load_config(preset=name)
    for section, entries in plain:
        if section == "preset":
            continue
        for key, value in entries:
            same = getattr(getattr(preset, section), key) == value
            assert same or f"{section}.{key}" in named | {"video.fps"}


def test_paper_preset_holds_what_the_paper_states():
    # Boneh-Shitrit et al. (2022), arXiv 2206.05619, sections 2.1, 3.1 and 3.2, and table 1.
    config = load_config(preset="paper")
    assert (config.video.every_nth, config.video.fps) == (1, None)
    assert (config.crop.square, config.crop.margin) == (False, 0.0)  # squeezed, nothing added
    assert config.detect.follow is False
    assert config.probe.method == "gradient"
    assert config.gradient.epochs == 30
    assert config.gradient.betas == (0.0, 0.999)
    assert config.gradient.learning_rate is None  # 1e-4 or 5e-6, by the kind of network
    assert config.augment.flip == 0.5
    assert config.augment.area == (0.8, 1.0)
    assert min(config.augment.brightness, config.augment.contrast) > 0
    assert min(config.augment.saturation, config.augment.hue) > 0
    assert config.evaluate.split == "holdout:7"
    assert config.compare.backbones == ("resnet50", "vits16", "dino_resnet50", "dino_vits8")
    assert config.compare.methods == ("gradient",)
    assert config.backbone.name == "dino_vits8"  # table 1's best
    [fold] = make_split([f"dog{i}" for i in range(29)], kind=config.evaluate.split).folds
    assert (len(fold.train), len(fold.test)) == (22, 7)


def test_each_source_of_settings_overrides_the_one_before(tmp_path):
    default = load_config(tmp_path)
    assert (default.gradient.epochs, default.evaluate.resamples) == (30, 2000)
    assert default.probe.method == "lda"

    write(tmp_path, "preset = 'paper'\n")  # 1. the preset that the file names, over the defaults
    first = load_config(tmp_path)
    assert (first.preset, first.probe.method, first.evaluate.split) == (
        "paper", "gradient", "holdout:7",
    )  # fmt: skip
    assert first.evaluate.resamples == 2000

    # 2. the file's other keys, over its preset
    write(tmp_path, "preset = 'paper'\n[evaluate]\nsplit = 'loso'\nresamples = 300\nseed = 4\n")
    second = load_config(tmp_path)
    assert (second.evaluate.split, second.evaluate.resamples) == ("loso", 300)
    assert (second.preset, second.probe.method) == ("paper", "gradient")

    # 3. the preset asked for, over the file
    third = load_config(tmp_path, preset="strict")
    assert (third.preset, third.evaluate.resamples, third.probe.method) == (
        "strict", 10_000, "lda",
    )  # fmt: skip
    assert third.evaluate.seed == 4  # of which the preset says nothing
    assert third.crop.square is False  # left by the file's own preset

    # 4. options, over all of them
    overrides = {"evaluate": {"resamples": 500}, "probe": {"method": "sequence_gru"}}
    fourth = load_config(tmp_path, preset="strict", overrides=overrides)
    assert (fourth.evaluate.resamples, fourth.probe.method) == (500, "sequence_gru")
    assert (fourth.preset, fourth.evaluate.split) == ("strict", "loso")


def test_rate_of_a_later_source_drops_the_other_rate_of_an_earlier_one(tmp_path):
    def rates(config):
        return config.video.fps, config.video.every_nth

    assert rates(load_config(preset="paper", overrides={"video": {"fps": 3.0}})) == (3.0, None)
    assert rates(load_config(preset="quick", overrides={"video": {"every_nth": 7}})) == (None, 7)
    write(tmp_path, "preset = 'paper'\n[video]\nfps = 4\n")
    assert rates(load_config(tmp_path)) == (4.0, None)
    assert rates(load_config(tmp_path, preset="paper")) == (None, 1)
    assert rates(load_config(tmp_path, overrides={"video": {"every_nth": 2}})) == (None, 2)
    write(tmp_path, "[video]\nevery_nth = 4\n")
    assert rates(load_config(tmp_path, preset="quick")) == (2.0, None)
    both = {"video": {"fps": 2.0, "every_nth": 2}}
    with pytest.raises(ConfigError, match="either fps or every_nth"):
        load_config(preset="paper", overrides=both)


def test_departures_name_what_differs_and_nothing_else():
    overrides = {
        "gradient": {"epochs": 5, "betas": (0.0, 0.999)},  # the second as the preset has it
        "augment": {"area": (0.5, 1.0)},
        "video": {"fps": 2.0},
        "compare": {"backbones": ("resnet50",)},
    }
    assert find_departures(load_config(preset="paper", overrides=overrides)) == {
        "gradient.epochs": 5,
        "augment.area": [0.5, 1.0],
        "video.fps": 2.0,
        "video.every_nth": None,
        "compare.backbones": ["resnet50"],
    }


def test_what_a_preset_leaves_to_the_study_is_no_departure(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"x")
    overrides = {
        "study": {"positive_label": "frustration"},
        "detect": {"detector": "our_own.pth"},
        "backbone": {"weights": tmp_path / "w.pth", "device": "cuda", "batch_size": 64},
        "compare": {"weights": {"resnet50": tmp_path / "w.pth"}},
    }
    config = load_config(preset="paper", overrides=overrides)
    assert config.compare.weights == {"resnet50": tmp_path / "w.pth"}
    assert find_departures(config) == {}
    seed = load_config(preset="paper", overrides={"evaluate": {"seed": 1}})
    assert find_departures(seed) == {"evaluate.seed": 1}


def test_without_a_preset_there_is_nothing_to_depart_from():
    assert find_departures(load_config(overrides={"gradient": {"epochs": 5}})) == {}


def test_departures_of_the_file_count_too(tmp_path):
    write(tmp_path, "preset = 'paper'\n[augment]\nhue = 0.5\n")
    assert find_departures(load_config(tmp_path)) == {"augment.hue": 0.5}
    # Asked for by name, another preset inherits what the file says and it does not.
    inherited = find_departures(load_config(tmp_path, preset="quick"))
    assert inherited["augment.hue"] == 0.5
    assert inherited["crop.square"] is False
    assert "video.fps" not in inherited


@pytest.mark.parametrize(
    ("wrong", "near"), [("papr", "paper"), ("stict", "strict"), ("vidoe", "video"), ("QUICK", None)]
)
def test_unknown_preset_names_the_nearest(tmp_path, wrong, near):
    for load in (
        lambda: load_config(preset=wrong),
        lambda: load_config(write(tmp_path, f"preset = '{wrong}'\n")),
        lambda: format_preset(wrong),
    ):
        with pytest.raises(ConfigError, match=f"'{wrong}' is unknown") as caught:
            load()
        assert "quick, paper, video, strict" in str(caught.value)
        if near is not None:
            assert f"the nearest is '{near}'" in str(caught.value)


def test_preset_of_ones_own(tmp_path):
    path = tmp_path / "our lab.toml"
    path.write_text("# ours\n[gradient]\nepochs = 12\n[evaluate]\nseed = 8\n", encoding="utf-8")
    config = load_config(preset=str(path), overrides={"evaluate": {"seed": 9}})
    assert (config.gradient.epochs, config.evaluate.seed, config.preset) == (12, 9, str(path))
    assert find_departures(config) == {"evaluate.seed": 9}
    assert format_preset(str(path)).startswith("# ours")
    study = tmp_path / "study"
    study.mkdir()
    write(study, f"preset = '{path}'\n[evaluate]\nseed = 1\n")
    assert load_config(study).gradient.epochs == 12
    assert load_config(study).evaluate.seed == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gradient]\nepoch = 3\n", "unknown key 'gradient.epoch'.*'gradient.epochs'"),
        ("[augmnt]\nflip = 1\n", "unknown key 'augmnt'.*'augment'"),
        ("[gradient]\nfeed = 'views'\n", "gradient.feed = 'views'"),
        ("[gradient]\nfeed = 'views:0'\n", "gradient.feed = 'views:0'"),
        ("[augment]\narea = [1.0, 0.8]\n", "from the smaller to the larger"),
        ("[compare]\nmethods = ['svm']\n", "compare.methods.0 = 'svm'"),
        ("[gradient\n", "not valid TOML"),
    ],
)
def test_bad_preset_of_ones_own_names_itself_and_the_key(tmp_path, text, message):
    path = tmp_path / "lab.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(preset=str(path))
    assert "lab.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_number_of_views_follows_from_the_feed():
    def views(**gradient):
        return load_config(overrides={"gradient": gradient}).gradient.views

    assert views(feed="views:8", epochs=30) == 8
    assert views(feed="views:12", epochs=3) == 12
    assert views(feed="exact", epochs=30) == 30


def test_paths_of_weights_to_compare_are_relative_to_the_study(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"x")
    write(tmp_path, "[compare.weights]\nresnet50 = 'w.pth'\nvits16 = 'elsewhere.pth'\n")
    found = load_config(tmp_path).compare.weights
    assert found["resnet50"] == (tmp_path / "w.pth").resolve()
    assert str(found["vits16"]) == "elsewhere.pth"


def test_weights_do_not_follow_a_backbone_of_another_name(tmp_path):
    (tmp_path / "canemo.toml").write_text(
        '[backbone]\nname = "dino_vits16"\nweights = "d.pth"\n', encoding="utf-8"
    )
    assert str(load_config(tmp_path).backbone.weights) == "d.pth"
    renamed = load_config(tmp_path, overrides={"backbone": {"name": "vits16"}})
    assert (renamed.backbone.name, renamed.backbone.weights) == ("vits16", None)
    assert load_config(tmp_path, preset="quick").backbone.weights is None
    both = {"backbone": {"name": "vits16", "weights": "v.pth"}}
    assert str(load_config(tmp_path, overrides=both).backbone.weights) == "v.pth"


def test_preset_of_a_study_is_found_beside_its_settings(tmp_path):
    (tmp_path / "lab.toml").write_text("[video]\nfps = 3.0\n", encoding="utf-8")
    (tmp_path / "canemo.toml").write_text('preset = "lab.toml"\n', encoding="utf-8")
    config = load_config(tmp_path)
    assert config.video.fps == 3.0
    assert find_departures(config) == {}


def test_preset_that_names_another_or_is_no_text_is_refused(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('preset = "paper"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot start from another"):
        load_config(preset=str(path))
    path.write_bytes(b"\xff\xfe[video]")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(preset=str(path))


def test_a_preset_that_leaves_the_backbone_to_auto_is_not_departed_from_by_what_it_chose(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("[video]\nfps = 2.0\n")
    overrides = {"backbone": {"name": "efficientnet_lite0"}}
    assert find_departures(load_config(preset=str(own), overrides=overrides)) == {}
    strict = load_config(preset="strict", overrides=overrides)
    assert find_departures(strict) == {"backbone.name": "efficientnet_lite0"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_its_backbone(name):
    assert load_config(preset=name).backbone.name in BACKBONES
