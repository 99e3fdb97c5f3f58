from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from canemo.report.pages.comparison import write_comparison_report
from canemo.report.terminal import format_comparison
from canemo.report.words.comparison import write_comparison_sentence
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
    assert "(Cohen’s d<sub>z</sub>) is the mean of the dogs’ differences" in page
    cells = '<td class="n">0.062</td><td class="n">&lt; 0.001</td><td class="n">'
    assert f"{cells}{shown}</td>" in page


def test_pairs_in_the_terminal() -> None:
    text = format_comparison(record_comparison(make_comparison(effect_size=1.234)))
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Pair "))
    heads, pair = lines[at : at + 2]
    assert heads.split()[-4:] == ["sign-flip", "p", "corrected", "d_z"]
    assert pair.startswith("first – second   +5.0 (-1.0 to +11.0)   +5.0 (-1.0 to +11.0)   +0.050")
    assert pair.endswith("0.062     < 0.001   +1.23")
    untested = record_comparison(make_comparison(p=None, p_holm=None, effect_size=0.1))
    assert "–           –   +0.10\n" in format_comparison(untested)
    assert "sign-flip p: how often chance gives as large a difference" in " ".join(text.split())


def test_models_in_the_terminal_with_what_is_missing_and_what_was_not_chosen() -> None:
    content = make_comparison()
    best = dict.fromkeys(("train_loss", "train_accuracy", "test_loss", "test_accuracy"), 0.91)
    content["models"][0] |= {
        "best_epoch": {"epoch": 7, **best},
        "last_epoch": {"epoch": 10, **best, "train_accuracy": 0.99},
        "random_weights": True,
    }
    content["missing"] = [{"name": "dino", "reason": "no weights"}]
    lines = [
        line.split("   ") for line in format_comparison(record_comparison(content)).split("\n")
    ]
    lines = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert ["Model", "train", "val.", "best epoch, not chosen", "Best epoch"] in lines
    assert ["first – random weights, no result", "99.0 %", "76.8 %", "91.0 %", "7"] in lines
    assert ["second", "90.0 %", "76.8 %", "–", "–"] in lines
    assert ["dino", "missing"] in lines
    assert ["Missing: no weights"] in lines
    assert ["always “frustration”", "71.7 %"] in lines


def test_comparison_has_a_workbook_of_its_tables(tmp_path: Path) -> None:
    write_page(tmp_path, make_comparison(effect_size=1.234))
    book = openpyxl.load_workbook(tmp_path / "results.xlsx")
    assert book.sheetnames == ["frames", "clips", "pairs", "models", "versions", "columns"]
    heads, pair = ([cell.value for cell in line] for line in book["pairs"].rows)
    assert heads[1:4] == ["Accuracy", "Accuracy, low", "Accuracy, high"]
    assert pair[1:4] == [0.05, -0.01, 0.11]
    assert pair[-3:] == [0.0625, 0.0002, 1.234]


def with_p(first: float | None, second: float | None) -> dict[str, Any]:
    content = make_comparison()
    content["chance"]["majority"]["video"] = 0.66
    for model, p in zip(content["models"], (first, second), strict=True):
        model["permutation"] = make_permutation(p)
    return content


def test_permutation_p_stands_beside_each_model(tmp_path: Path) -> None:
    page = write_page(tmp_path, with_p(0.0123, None))
    assert '">Permutation p</th>' in page
    assert '<td class="n">0.012</td></tr>' in page
    assert '<td class="n">–</td></tr>' in page
    assert "Permutation p" not in write_page(tmp_path, make_comparison())


def test_no_model_stands_against_its_permutation_test() -> None:
    neither, first = (record_comparison(with_p(*ps)) for ps in ((0.2, None), (0.01, 0.01)))
    assert write_comparison_sentence(neither).startswith("No model can be told")
    assert "told from chance" not in write_comparison_sentence(first)
    mixed = with_p(0.2, 0.01)
    mixed["models"][0]["video"] = {**mixed["models"][0]["video"], "accuracy": 0.9}
    sentence = write_comparison_sentence(record_comparison(mixed))
    assert "It cannot be told from chance, but second can." in sentence
