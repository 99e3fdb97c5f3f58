"""Docs cannot rot: every command, setting, backbone, fate and public function is in them."""

import re
from pathlib import Path

import pytest

import canemo
from canemo.cli import app, detector_app
from canemo.config import PRESETS, Config
from canemo.features.poolings import POOLINGS
from canemo.networks.backbone_specs import BACKBONES
from canemo.records import Fate
from canemo.species import DOG

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
STUDY = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")


def commands():
    plain = [c.name or c.callback.__name__ for c in app.registered_commands]
    return plain + [f"detector {c.name}" for c in detector_app.registered_commands]


def settings():
    config = Config()
    return {
        f"{section}.{key}": getattr(getattr(config, section), key)
        for section, part in Config.model_fields.items()
        if section != "preset"
        for key in type(part.default).model_fields
    }


def test_intervals_of_the_papers_table_come_from_the_code_beside_them(capsys):
    page = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    exec(compile(code, "paper.md", "exec"), {})  # the page's own code
    *models, dogs = capsys.readouterr().out.splitlines()
    for line in models:
        name, clips, interval = re.fullmatch(r"(\w+): (.*), (.*)", line).groups()
        assert f"| {clips} | {interval} |" in page, name
    assert dogs.removeprefix("dogs: ") in page.replace("\n", " ")


def test_python_on_the_page_of_explanations_runs_as_it_stands():
    page = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    exec(compile(code, "explain.md", "exec"), {})  # its own assertion holds the maps to the logits


def test_presets_are_documented():
    for name in PRESETS:
        assert f"| `{name}` |" in SETTINGS


@pytest.mark.parametrize("command", commands())
def test_command_is_documented(command):
    assert f"`canemo {command}" in SETTINGS


def test_settings_are_documented_with_their_defaults():
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \|", SETTINGS, flags=re.MULTILINE))
    assert list(rows) == list(settings())
    for key, default in settings().items():
        if isinstance(default, bool):
            assert rows[key] == str(default).lower()
        elif isinstance(default, int | float):
            assert float(rows[key]) == default
        elif isinstance(default, str):
            assert rows[key] == f"`{default}`"
        elif isinstance(default, tuple) and default:
            assert [float(v) for v in rows[key].split(",")] == list(default)


@pytest.mark.parametrize("name", [*BACKBONES, *POOLINGS])
def test_backbones_and_poolings_are_documented(name):
    assert f"`{name}`" in SETTINGS


@pytest.mark.parametrize("fate", list(Fate))
def test_fates_are_documented(fate):
    assert f"`{fate}`" in STUDY


def test_functions_named_in_docs_exist():
    named = re.findall(r"`canemo\.(?!toml)(\w+)", SETTINGS)
    assert named
    assert set(named) <= set(canemo.__all__)


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md"])
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_makes_the_command_before_it_is_used():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert -1 < page.find(". .venv/bin/activate") < page.find("    canemo init")
    assert page.find("python3 -m venv .venv") < page.find("    pip install")


def test_measures_are_documented_as_they_are_defined():
    page = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "images" / "measures_dog.svg").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w ]+) \| (.+) \|$", page, flags=re.MULTILINE)
    assert rows == [(m.name, m.region, m.unit, m.meaning) for m in DOG.measures]
    for measure in DOG.measures:
        assert measure.name.removesuffix("_right").removesuffix("_left") in drawing
