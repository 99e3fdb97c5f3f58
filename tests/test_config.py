import pytest

from canemo.config import Config, format_config, load_config, read_config
from canemo.errors import ConfigError


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
