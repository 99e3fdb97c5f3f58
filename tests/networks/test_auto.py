"""What ``backbone.name = "auto"`` means, whatever is on a computer and whatever can be fetched."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from canemo.errors import ConfigError, MissingExtraError, WeightsError
from canemo.networks import auto
from canemo.networks.auto import choose_backbone, foresee_choice, is_here, list_better
from canemo.networks.backbone_specs import AUTO_ORDER, BACKBONES, find_backbone
from canemo.networks.backbones import write_random_weights


@dataclass
class Computer:
    """What is on it and what it can fetch."""

    here: set[str] = field(default_factory=lambda: {"efficientnet_lite0"})
    hub: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)

    def read(self, path):
        if str(path) in self.damaged:
            raise WeightsError(f"{path}: not a readable weights file")

    def locate(self, spec, *, fetch=True):
        if spec.name in self.here:
            return Path(spec.name)
        if spec.packaged is not None:
            raise MissingExtraError("not installed")
        if fetch and spec.name in self.hub:
            self.fetched.append(spec.name)
            self.here.add(spec.name)
            return Path(spec.name)
        raise WeightsError("not to be had")


@pytest.fixture
def computer(monkeypatch):
    found = Computer()
    monkeypatch.setattr(auto, "locate_weights", found.locate)
    monkeypatch.setattr(auto, "read_state", found.read)
    monkeypatch.setattr(auto, "can_reach_hub", lambda: bool(found.hub))
    return found


def test_order_starts_with_the_papers_winner_and_ends_with_what_is_always_there():
    assert (AUTO_ORDER[0], AUTO_ORDER[-1]) == ("dino_vits8", "efficientnet_lite0")
    assert set(AUTO_ORDER) <= set(BACKBONES)


@pytest.mark.parametrize(
    ("here", "hub", "name", "reason"),
    [
        ({"dino_vits8"}, set(), "dino_vits8", "on this computer, and it is the first choice"),
        (set(), {"dino_vits8"}, "dino_vits8", "fetched from the model hub, and it is the first"),
        (set(), set(), "efficientnet_lite0", "in an installed package; those before it, dino_"),
        ({"focus_vits14"}, set(), "focus_vits14", "dinov2_vits14, could not be had"),
        ({"focus_vits14"}, {"dino_vits16"}, "dino_vits16", "before it, dino_vits8, could not be"),
    ],
)
def test_the_first_that_is_here_or_can_be_fetched_is_taken(computer, here, hub, name, reason):
    computer.here |= here
    computer.hub |= hub
    found = choose_backbone()
    assert found.name == name
    assert reason in found.reason
    assert computer.fetched == sorted(hub)


def test_what_may_do_better_is_named_once_for_each_remedy(computer):
    vit = "focus_vits14, with pip install 'canemo[vit]'"
    assert choose_backbone().better == f"dino_vits8, with internet once; {vit}"
    computer.here.add("focus_vits14")
    assert choose_backbone().better == "dino_vits8, with internet once"
    computer.here.add("dino_vits8")
    assert choose_backbone().better == ""


def test_nothing_to_be_had_is_an_error_that_names_all(computer):
    computer.here.clear()
    with pytest.raises(WeightsError, match=r"no backbone can be had.*dino_vits8.*efficientnet"):
        choose_backbone()


def test_damaged_file_is_passed_over_with_a_warning(computer, caplog):
    computer.here |= {"dino_vits8", "dino_vits16"}
    computer.damaged = {"dino_vits8"}
    found = choose_backbone()
    assert found.name == "dino_vits16"
    assert found.better == "dino_vits8, with another copy of its weights file"
    assert "dino_vits8: not a readable weights file; take the file away" in caplog.text
    assert foresee_choice().startswith("dino_vits16: ")
    assert list_better("efficientnet_lite0") == ["dino_vits16"]


def test_what_would_be_taken_is_foreseen_without_fetching(computer):
    assert foresee_choice().startswith("efficientnet_lite0: its weights are in an installed")
    computer.hub = {"dino_vits8"}
    assert foresee_choice() == "dino_vits8, whose weights would be fetched from the model hub"
    assert computer.fetched == []


def test_better_ones_are_those_before_it_on_this_computer(computer):
    computer.here |= {"dino_vits16", "vits16"}
    assert list_better("efficientnet_lite0") == ["dino_vits16"]
    assert list_better("dino_vits16") == list_better("resnet50") == []
    assert is_here("dino_vits16")
    assert not is_here("resnet50")
    assert not is_here("of_a_package_that_went")


def test_auto_itself_is_no_backbone():
    with pytest.raises(ConfigError, match="stands for one that is chosen"):
        find_backbone("auto")


def test_a_given_file_tells_its_network_where_only_one_fits(tmp_path):
    own = write_random_weights("efficientnet_lite0", tmp_path / "own.safetensors")
    found = choose_backbone(own)
    assert found.name == "efficientnet_lite0"
    assert found.reason == "the weights file own.safetensors fits its network only"
    both = write_random_weights("dino_resnet50", tmp_path / "both.safetensors")
    with pytest.raises(ConfigError, match=r"resnet50 and dino_resnet50, .* alike; .*--backbone"):
        choose_backbone(both)
    none = write_random_weights("timm:test_vit", tmp_path / "none.safetensors")
    with pytest.raises(ConfigError, match=r"fits none of the networks .*--backbone NAME"):
        choose_backbone(none)


def test_a_given_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        choose_backbone(tmp_path / "gone.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"abc")
    with pytest.raises(WeightsError, match=r"cut.safetensors: not a readable weights file"):
        choose_backbone(tmp_path / "cut.safetensors")
