import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import canemo


def test_every_public_name_is_there_and_documented():
    assert sorted(canemo.__all__) == canemo.__all__
    for name in canemo.__all__:
        assert getattr(canemo, name).__doc__, name


def test_public_names_are_few_and_those_that_load_late_and_that_type_checkers_see():
    # 37: faces measured without a study (two functions and a command) and what moves in a study's
    # clips are questions of their own, no variants of others.
    assert len(canemo.__all__) <= 37
    tree = ast.parse(Path(canemo.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("canemo.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == canemo._HOMES
    assert sorted(seen) == canemo.__all__


def test_no_public_name_is_a_modules_name():
    modules = {module.name for module in pkgutil.iter_modules(canemo.__path__)}
    assert modules.isdisjoint(canemo.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        canemo.no_such_name  # noqa: B018


@pytest.mark.parametrize("module", ["canemo", "canemo.cli"])
def test_import_is_light(module):
    code = (
        f"import sys, {module}; "
        "heavy = {'torch', 'timm', 'av', 'sklearn', 'pandas', 'matplotlib'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
