"""Several backbones or methods on identical crops and dogs: the command `compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from canemo import environment
from canemo.assessment import (
    evaluate_features,
    load_materials,
    offer_views,
    require_runnable,
    split_subjects,
)
from canemo.backbones import Backbone
from canemo.comparison import (
    Entrant,
    Result,
    compute_comparison,
    describe_entrant,
    gather_curves,
    list_entrants,
    tabulate_models,
)
from canemo.config import Config, load_config
from canemo.errors import MissingExtraError, WeightsError
from canemo.examples import captioned, choose_examples
from canemo.explain.eigencam import CAM_SCALE, map_crops
from canemo.files import write_table
from canemo.progress import Progress, silent
from canemo.report.canvas import save_figure
from canemo.report.comparison import write_comparison_report
from canemo.report.pictures import draw_crop_sheet, draw_model_cams
from canemo.run_metrics import (
    describe_method,
    describe_protocol,
    describe_study,
    summarise_permutation,
    warn_about_run,
)
from canemo.run_record import ComparisonRecord
from canemo.runs import COMPARISON_FILE, find_run, new_run
from canemo.splits import Split, save_split
from canemo.study import load_study
from canemo.study_crops import StudyCrops
from canemo.study_features import (
    Cost,
    crop_videos,
    embed_crops,
    load_configured_backbone,
    load_configured_detector,
)

CAMS_PER_LABEL, CROPS_PER_LABEL = 2, 12


@dataclass(frozen=True)
class ComparisonResult:
    """A finished comparison: its folder and what comparison.json holds."""

    folder: Path
    comparison: ComparisonRecord

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    @property
    def table(self) -> pd.DataFrame:
        """One row per model: the paper's table 1 and what it lacks."""
        return tabulate_models(self.comparison)


def compare_models(
    study_dir: Path | str,
    *,
    config: Config | None = None,
    name: str | None = None,
    force: bool = False,
    command: str = "canemo.compare_models",
    progress: Progress = silent,
) -> ComparisonResult:
    """Train several backbones or methods on identical crops and folds, and compare them.

    Parameters
    ----------
    study_dir
        Folder with videos.csv.
    config
        Settings; its ``compare`` section says what is compared. None reads the study's canemo.toml
        over the defaults.
    name
        Name of the folder under ``study_dir/comparisons``; None takes the preset's, or ``models``.
    force, command, progress
        As for `run`.

    Returns
    -------
    ComparisonResult
        The folder with comparison.json, table.csv, predictions, curves, figures and report. A
        backbone whose weights cannot be had is named in it as missing; none takes its place.

    Raises
    ------
    StudyError, SplitError, NoFacesError, OutputExistsError
        As `run`.
    WeightsError
        A weights file that was given cannot be used, or no backbone's weights can be had.
    """
    root = Path(study_dir)
    config = config or load_config(root)
    study, cost = load_study(root), Cost()
    require_runnable(study, config)
    split = split_subjects(study, config)
    entrants = list_entrants(config)
    backbones, missing = _find_backbones(entrants, config)
    detector = load_configured_detector(config)
    name = name or Path(config.preset or "models").stem
    with new_run(root, name, config, force=force, result=COMPARISON_FILE) as folder:
        save_split(split, folder / "split.json")
        crops = crop_videos(study, config, detector, progress=progress, cost=cost)
        results: list[Result] = []
        cams = {}
        for backbone_name, load in backbones.items():
            backbone = load()
            own = [entrant for entrant in entrants if entrant.backbone == backbone_name]
            results += _test_entrants(own, backbone, crops, split, config, progress=progress)
            cams[backbone_name] = _map_examples(crops, backbone)
        content = compute_comparison(
            results,
            missing=missing,
            study=study,
            study_facts=describe_study(study, crops.ledger, species=config.study.species),
            protocol=describe_protocol(study, config, split, detector),
            config=config,
            split=split,
            warnings=[*crops.warnings, *warn_about_run(config, split, detector)],
        )
        _fill_comparison(folder, content, results, crops, cams, command)
    return ComparisonResult(find_run(root, name, result=COMPARISON_FILE), content)


def _find_backbones(
    entrants: Sequence[Entrant], config: Config
) -> tuple[dict[str, Callable[[], Backbone]], dict[str, str]]:
    """Return how to load each backbone, and for each missing entrant why it cannot be had.

    All are looked for before the work begins; a file that was given and cannot be used is an error.
    """
    found: dict[str, Callable[[], Backbone]] = {}
    missing: dict[str, str] = {}
    for entrant in entrants:
        load = partial(load_configured_backbone, entrant.configure(config))
        if entrant.backbone not in found:
            try:
                load()
            except (WeightsError, MissingExtraError) as exc:
                if entrant.weights is not None:
                    raise
                missing[entrant.name] = str(exc)
                continue
            found[entrant.backbone] = load
    if not found:
        raise WeightsError(f"no backbone can be had; {'; '.join(dict.fromkeys(missing.values()))}")
    return found, missing


def _test_entrants(
    entrants: Sequence[Entrant],
    backbone: Backbone,
    crops: StudyCrops,
    split: Split,
    config: Config,
    *,
    progress: Progress,
) -> list[Result]:
    """Test the methods of one backbone on the features that they share."""
    shared, results = Cost(), []
    tell = _prefix(progress, backbone)
    sources = embed_crops(crops, backbone, config, progress=tell, cost=shared)
    materials = load_materials(sources, crops, config)
    for entrant in entrants:
        cost, own = Cost(dict(shared.stages)), entrant.configure(config)
        views = offer_views(crops, backbone, own, tell)
        learner, evaluation = evaluate_features(
            materials, split, own, views, progress=tell, cost=cost
        )
        facts = {**describe_entrant(entrant, backbone), **describe_method(own, backbone)}
        with cost.measure("permute"):
            permutation = summarise_permutation(learner, split, own, progress=tell)
        results.append(Result(entrant, facts, evaluation, permutation, cost.stages))
    return results


def _prefix(progress: Progress, backbone: Backbone) -> Progress:
    return lambda stage, done, total: progress(f"{stage} {backbone.spec.name}", done, total)


def _map_examples(crops: StudyCrops, backbone: Backbone) -> dict[str, list[Any]]:
    examples = choose_examples(crops.used, crops.files, per_label=CAMS_PER_LABEL)
    return {
        label: map_crops([example.image_rgb for example in some], backbone)
        for label, some in examples.items()
    }


def _fill_comparison(
    folder: Path,
    content: ComparisonRecord,
    results: Sequence[Result],
    crops: StudyCrops,
    cams: Mapping[str, Mapping[str, list[Any]]],
    command: str,
) -> None:
    examples = choose_examples(crops.used, crops.files, per_label=CROPS_PER_LABEL)
    rows = {
        label: [
            (example.caption, example.image_rgb, [cams[name][label][i] for name in cams])
            for i, example in enumerate(some[:CAMS_PER_LABEL])
        ]
        for label, some in examples.items()
    }
    figures_dir = folder / "figures"
    save_figure(draw_crop_sheet(captioned(examples)), figures_dir / "crops.png")
    save_figure(
        draw_model_cams(rows, models=list(cams), scale_title=CAM_SCALE),
        figures_dir / "eigencam.png",
    )
    tables = [r.evaluation.predictions.assign(model=r.entrant.name) for r in results]
    write_table(pd.concat(tables, ignore_index=True), folder / "predictions.parquet")
    curves = gather_curves(results)
    if len(curves):
        write_table(curves, folder / "curves.parquet")
    write_table(tabulate_models(content), folder / "table.csv")
    write_table(crops.ledger, folder / "frames.parquet")
    environment.write_environment(folder / "environment.json", command=command)
    content.write(folder / COMPARISON_FILE)
    write_comparison_report(folder)
