"""Help comes at once: nothing heavy is imported before a command needs it."""

import json
import resource
import subprocess
import sys

import pytest
import typer

from canemo.cli.app import ORDER, app

HEAVY = {
    "av", "matplotlib", "nicegui", "numpy", "onnx", "openvino", "pandas", "PIL", "pyarrow",
    "pydantic", "scipy", "sklearn", "timm", "torch", "torchvision",
}  # fmt: skip

HELP = "import sys; sys.argv = ['canemo', '--help']; from canemo.cli import main; main()"

LIST_MODULES = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
"""


def imported_by(code):
    command = [sys.executable, "-c", LIST_MODULES + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def least_processor_seconds(code, *, repeats=5):
    """Processor time of a new process, the best of several: other processes count for little."""
    seconds = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_help_imports_nothing_heavy():
    shown, modules = imported_by(HELP)
    places = [shown.index(f"│ {name} ") for group in ORDER.values() for name in group]
    assert places == sorted(places)
    assert "canemo.cli.study" in modules
    assert not HEAVY & modules
    ours = {name for name in modules if name.startswith("canemo.")}
    assert {name for name in ours if not name.startswith("canemo.cli")} == {"canemo.errors"}


def test_every_command_has_its_place_in_the_order_of_work():
    listed = [name for group in ORDER.values() for name in group]
    assert sorted(listed) == sorted(typer.main.get_command(app).commands)


@pytest.mark.parametrize("command", [["run", "--help"], ["detector", "train", "--help"]])
def test_help_of_a_command_imports_nothing_heavy(command):
    shown, modules = imported_by(HELP.replace("['canemo', '--help']", repr(["canemo", *command])))
    assert f"Usage: canemo {' '.join(command[:-1])}" in shown
    assert not (HEAVY - {"pydantic"}) & modules  # with which Typer itself reads options


def test_package_imports_none_of_its_parts():
    _, modules = imported_by("import canemo")
    assert {name for name in modules if name.split(".")[0] == "canemo"} == {"canemo"}
    assert not (HEAVY | {"typer", "rich"}) & modules


def test_package_and_help_come_at_once():
    # 0.03 s and 0.23 s where this was written; torch alone takes several seconds.
    assert least_processor_seconds("import canemo") < 0.2
    assert least_processor_seconds(HELP) < 0.6
