from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from canemo.report.comparison import write_comparison_report, write_comparison_sentence
from canemo.report.text import format_comparison
from report_fixtures import make_environment, make_metrics


def make_comparison(**pair: Any) -> dict[str, Any]:
    metrics = make_metrics(n_subjects=5)
    models = [_make_model(name, metrics["levels"]) for name in ("first", "second")]
    scores = ("accuracy", "balanced_accuracy", "auroc")
    found = {
        "first": "first",
        "second": "second",
        "difference": dict.fromkeys(scores, 0.05),
        "interval": {name: [-0.01, 0.11] for name in scores},
        "p": 0.0625,
        "p_holm": 0.0002,
        "flips": 32,
        "exact": True,
        "random_weights": False,
        **pair,
    }
    return {
        "study": metrics["study"],
        "protocol": {**metrics["protocol"], "preset_departures": {}},
        "chance": metrics["chance"],
        "models": models,
        "missing": [],
        "pairs": [found],
        "warnings": [],
    }


def _make_model(name: str, levels: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "backbone": name,
        "backbone_note": "",
        "method": "lda",
        "video": levels["video"],
        "frame": levels["frame"],
        "train_accuracy": 0.9,
        "last_epoch": None,
        "best_epoch": None,
        "random_weights": False,
        "cost": {},
        "parameters": 1000,
        "feature_dim": 8,
        "weights_source": "file",
        "weights_sha256": "0" * 64,
    }


def write_page(folder: Path, content: dict[str, Any]) -> str:
    (folder / "comparison.json").write_text(json.dumps(content), encoding="utf-8")
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


def test_older_comparisons_have_no_effect_size(tmp_path: Path) -> None:
    assert "d<sub>z</sub>" not in write_page(tmp_path, make_comparison())
    assert "d_z" not in format_comparison(make_comparison())


def test_pairs_in_the_terminal() -> None:
    text = format_comparison(make_comparison(effect_size=1.234))
    assert "sign-flip p = 0.062, corrected < 0.001; d_z +1.23)" in text
    assert "sign-flip p –; d_z" in format_comparison(make_comparison(p=None, effect_size=0.1))


def with_p(first: float | None, second: float | None) -> dict[str, Any]:
    content = make_comparison()
    content["chance"]["majority"]["video"] = 0.66
    for model, p in zip(content["models"], (first, second), strict=True):
        model["permutation"] = {"statistic": "balanced_accuracy", "p": p}
    return content


def test_permutation_p_stands_beside_each_model(tmp_path: Path) -> None:
    page = write_page(tmp_path, with_p(0.0123, None))
    assert '<th scope="col" class="n">Permutation p</th>' in page
    assert '<td class="n">0.012</td></tr>' in page
    assert '<td class="n">–</td></tr>' in page
    assert "Permutation p" not in write_page(tmp_path, make_comparison())


def test_no_model_stands_against_its_permutation_test() -> None:
    assert write_comparison_sentence(with_p(0.2, 0.06)).startswith("No model can be told")
    assert "permutation" not in write_comparison_sentence(with_p(0.01, None))
    mixed = with_p(0.2, 0.01)
    mixed["models"][0]["video"] = {**mixed["models"][0]["video"], "accuracy": 0.9}
    sentence = write_comparison_sentence(mixed)
    assert "cannot tell it from chance (p = 0.200), but it can second." in sentence
