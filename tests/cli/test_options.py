"""The options that commands share: which command has which, and what becomes of them."""

import re

import pytest
from typer.testing import CliRunner

from canemo.cli import app
from canemo.cli.options import Settings

NETWORK = "--backbone --weights"
FRAMES = "--fps --every-nth --detector"
ENGINE = "--engine --precision"
OPTIONS = {
    "crop": f"--preset --sheet {FRAMES} --set",
    "embed": f"--preset {NETWORK} {FRAMES} {ENGINE} --set",
    "evaluate": f"--preset {NETWORK} {FRAMES} {ENGINE} --method --pooling --split --seed --sweep "
    "--set --show-optimism --json",
    "run": f"--preset --name {NETWORK} {FRAMES} {ENGINE} --method --pooling --split --seed "
    "--positive --sweep --set --force --dry-run --json",
    "compare": f"--preset --name {NETWORK} --method {FRAMES} {ENGINE} --split --seed --set "
    "--force --json",
    "concepts": "--events --column --all-coded --point-window --permutations --penalty "
    f"--skip-invalid --name --preset {NETWORK} {FRAMES} {ENGINE} --pooling --split --seed "
    "--positive --set --force --json",
    "audit": f"--confounds --preset {NETWORK} {FRAMES} --pooling --split --seed --set --json",
}


@pytest.mark.parametrize("command", OPTIONS)
def test_help_shows_exactly_the_options_of_a_command(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120", "TERM": "dumb"})
    found = re.findall(r"^\W+(--[a-z-]+) ", shown.output, flags=re.MULTILINE)
    assert sorted(found) == sorted([*OPTIONS[command].split(), "--help"])


def given(**options):
    return Settings({"preset": None, "assignments": None, **options})


def test_options_override_the_study_and_assignments_override_options(tmp_path):
    (tmp_path / "canemo.toml").write_text("[video]\nfps = 3.0\n[evaluate]\nseed = 4\n")
    config = given(fps=5.0, seed=None, split="kfold:5", assignments=["evaluate.split=loso"])
    loaded = config.load(tmp_path)
    assert (loaded.video.fps, loaded.evaluate.seed, loaded.evaluate.split) == (5.0, 4, "loso")


def test_only_a_file_that_exists_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.safetensors").touch()
    config = given(weights="net.safetensors", detector="whole_frame").load(tmp_path)
    assert config.backbone.weights == tmp_path / "net.safetensors"
    assert config.detect.detector == "whole_frame"


def test_compare_says_itself_what_is_compared(tmp_path):
    config = given(seed=2).load(tmp_path, backbones=["dino_vits8"], methods=None)
    assert config.compare.backbones == ("dino_vits8",)
    assert config.compare.methods == given().load(tmp_path).compare.methods
