"""Several backbones or methods on identical crops and dogs: the command `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from canemo import environment
from canemo.config import Config, load_config
from canemo.errors import ConfigError
from canemo.explain.maps.eigencam import CAM_SCALE, map_crops
from canemo.faces.examples import captioned, choose_examples
from canemo.faces.study_crops import StudyCrops
from canemo.files import write_table
from canemo.learn.splits import save_split
from canemo.networks.backbones import Backbone
from canemo.parallel import Progress, silent
from canemo.pipeline.assess import evaluate_features, load_materials, offer_views
from canemo.pipeline.extract import Cost, Embedded, crop_and_embed
from canemo.pipeline.plan import Plan, prepare, settle_backbone
from canemo.pipeline.provenance import (
    describe_choice,
    describe_method,
    describe_protocol,
    warn_about_run,
)
from canemo.report.charts.canvas import save_figure
from canemo.report.charts.crops import draw_crop_sheet, draw_model_cams
from canemo.report.pages.comparison import write_comparison_report
from canemo.study.load import load_study
from canemo.study.records.comparison import ComparisonRecord
from canemo.study.runs import COMPARISON_FILE, find_run, new_run
from canemo.trust.comparison import (
    Entrant,
    Result,
    compute_comparison,
    describe_entrant,
    gather_curves,
    list_entrants,
    tabulate_models,
)
from canemo.trust.metrics_json import describe_study, summarise_permutation

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
    ConfigError
        The settings name one model only.
    WeightsError
        A weights file that was given cannot be used, or no backbone's weights can be had.
    """
    root = Path(study_dir)
    config, reason = config or load_config(root), ""
    load_study(root)  # what is wrong with it is said before weights are looked for
    if not config.compare.backbones:
        config, reason = settle_backbone(root, config)
    entrants = list_entrants(config)
    plan = replace(prepare(root, config, entrants=entrants), backbone_reason=reason)
    if len(entrants) < 2:
        raise ConfigError(
            f"there is nothing to compare {entrants[0].backbone} with; give --backbone or "
            "--method twice, a preset that names several (--preset paper), or two finished runs"
        )
    name = name or Path(config.preset or "models").stem
    with new_run(root, name, config, force=force, result=COMPARISON_FILE) as folder:
        save_split(plan.split, folder / "split.json")
        crops, embedded = crop_and_embed(
            plan.study, plan.extraction, progress=progress, cost=plan.cost
        )
        results: list[Result] = []
        cams = {}
        for (backbone_name, backbone), made in zip(plan.backbones.items(), embedded, strict=True):
            own = [entrant for entrant in entrants if entrant.backbone == backbone_name]
            results += _test_entrants(own, backbone, made, crops, plan, progress=progress)
            cams[backbone_name] = _map_examples(crops, backbone)
        content = compute_comparison(
            results,
            missing=plan.missing,
            study=plan.study,
            study_facts=describe_study(plan.study, crops.ledger, species=config.study.species),
            protocol=describe_protocol(plan.study, config, plan.split, plan.detector),
            config=config,
            split=plan.split,
            warnings=[*crops.warnings, *warn_about_run(config, plan.split, plan.detector)],
        )
        _fill_comparison(folder, content, results, crops, cams, command)
    return ComparisonResult(find_run(root, name, result=COMPARISON_FILE), content)


def _test_entrants(
    entrants: Sequence[Entrant],
    backbone: Backbone,
    embedded: Embedded,
    crops: StudyCrops,
    plan: Plan,
    *,
    progress: Progress,
) -> list[Result]:
    """Test the methods of one backbone on the features that they share."""
    results = []
    tell = _prefix(progress, backbone)
    materials = load_materials(embedded.sources, crops, plan.config)
    for entrant in entrants:
        cost, own = Cost({"embed": embedded.cost}), entrant.configure(plan.config)
        views = offer_views(crops, backbone, own, tell)
        learner, evaluation = evaluate_features(
            materials, plan.split, own, views, progress=tell, cost=cost
        )
        facts = {
            **describe_entrant(entrant, backbone),
            **describe_choice(plan.backbone_reason),
            **describe_method(own, backbone),
        }
        with cost.measure("permute"):
            permutation = summarise_permutation(learner, plan.split, own, progress=tell)
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
