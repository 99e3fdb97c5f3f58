from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from canemo.report.comparison import write_comparison_report, write_comparison_sentence
from canemo.report.text import format_comparison
from report_fixtures import make_comparison, make_environment, make_permutation, record_comparison


def write_page(folder: Path, content: dict[str, Any]) -> str:
    record_comparison(content).write(folder / "comparison.json")
    (folder / "environment.json").write_text(json.dumps(make_environment()), encoding="utf-8")
    (folder / "config.toml").write_text("", encoding="utf-8")
    return write_comparison_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(("size", "shown"), [(1.234, "+1.23"), (-0.5, "-0.50"), (None, "–")])
def test_effect_size_stands_beside_each_pair(
    tmp_path: Path, size: float | None, shown: str
) -> None:
    page = write_page(tmp_path, make_comparison(effect_size=size))
    assert "Cohen’s d<sub>z</sub> over dogs" in page
    cells = '<td class="n">0.062</td><td class="n">&lt; 0.001</td><td class="n">'
    assert f"{cells}{shown}</td>" in page


def test_pairs_in_the_terminal() -> None:
    text = format_comparison(record_comparison(make_comparison(effect_size=1.234)))
    assert "sign-flip p = 0.062, corrected < 0.001; d_z +1.23)" in text
    untested = record_comparison(make_comparison(p=None, effect_size=0.1))
    assert "sign-flip p –; d_z" in format_comparison(untested)


def with_p(first: float | None, second: float | None) -> dict[str, Any]:
    content = make_comparison()
    content["chance"]["majority"]["video"] = 0.66
    for model, p in zip(content["models"], (first, second), strict=True):
        model["permutation"] = make_permutation(p)
    return content


def test_permutation_p_stands_beside_each_model(tmp_path: Path) -> None:
    page = write_page(tmp_path, with_p(0.0123, None))
    assert '<th scope="col" class="n">Permutation p</th>' in page
    assert '<td class="n">0.012</td></tr>' in page
    assert '<td class="n">–</td></tr>' in page
    assert "Permutation p" not in write_page(tmp_path, make_comparison())


def test_no_model_stands_against_its_permutation_test() -> None:
    neither, first = (record_comparison(with_p(*ps)) for ps in ((0.2, 0.06), (0.01, None)))
    assert write_comparison_sentence(neither).startswith("No model can be told")
    assert "permutation" not in write_comparison_sentence(first)
    mixed = with_p(0.2, 0.01)
    mixed["models"][0]["video"] = {**mixed["models"][0]["video"], "accuracy": 0.9}
    sentence = write_comparison_sentence(record_comparison(mixed))
    assert "cannot tell it from chance (p = 0.200), but it can second." in sentence
