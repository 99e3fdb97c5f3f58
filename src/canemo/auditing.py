"""The command `audit`: look for what could fool the author of a study, or of a finished run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from canemo.assessment import Plan, evaluate_features, gather_evidence, offer_views, prepare
from canemo.audit import audit_evidence
from canemo.config import Config, load_config
from canemo.confounds import run_confounds
from canemo.errors import ModelError
from canemo.evidence import SPLIT_FILE
from canemo.files import write_atomically
from canemo.metadata import score_metadata
from canemo.progress import Progress, silent
from canemo.report.html import write_report
from canemo.report.run_folder import read_run
from canemo.run_metrics import find_discriminant, find_penalty
from canemo.runs import CONFOUNDS_FILE, INPUTS_FILE, METRICS_FILE, describe_inputs, read_run_config
from canemo.splits import load_split


def audit_study(
    place: Path | str,
    *,
    config: Config | None = None,
    confounds: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Audit a study, or a finished run of it.

    Parameters
    ----------
    place
        Folder with videos.csv, or STUDY/runs/NAME: then its settings are taken, what `confounds`
        finds is kept in the run, and its report is written again.
    config
        Settings of a study; None reads its canemo.toml over the defaults.
    confounds
        Also run the confound battery, for which pictures are embedded again.
    progress
        Told how far it is.

    Returns
    -------
    dict
        What metrics.json holds under ``audit``.

    Raises
    ------
    StudyError
        The study cannot be used, or the same footage is listed under two names.
    SplitError, NoFacesError, WeightsError
        As `run`.
    ModelError
        The tables, the backbone's weights or the detector are not those of the run any more.
    """
    place = Path(place)
    is_run = (place / METRICS_FILE).is_file()
    root = place.resolve().parent.parent if is_run else place
    config = read_run_config(place) if is_run else config or load_config(place)
    plan = prepare(root, config, elsewhere=is_run)
    if is_run:
        _require_unchanged(place, root, plan)
        plan = replace(plan, split=load_split(place / SPLIT_FILE))
    plan, crops, evidence = gather_evidence(plan, progress=progress)
    learner, evaluation = evaluate_features(
        evidence.materials,
        plan.split,
        config,
        offer_views(crops, plan.backbone, config, progress),
        progress=progress,
        cost=plan.cost,
    )
    progress("audit", 0, 1)
    discriminant = find_discriminant(learner)
    found = audit_evidence(
        evidence,
        discriminant,
        penalty=find_penalty(config, evaluation),
        metadata=score_metadata(evidence, discriminant.material),
    )
    progress("audit", 1, 1)
    if not confounds:
        return found
    battery = run_confounds(plan, crops, evidence, progress=progress)
    if is_run:
        write_atomically(place / CONFOUNDS_FILE, json.dumps(battery, indent=1, allow_nan=False))
        write_report(place)
    return {**found, "confounds": battery}


def _require_unchanged(run_dir: Path, root: Path, plan: Plan) -> None:
    """Raise ModelError where the run was made from something else than is there now."""
    protocol = read_run(run_dir).metrics["protocol"]
    same = {
        "the tables of the study": describe_inputs(root)
        == (run_dir / INPUTS_FILE).read_text(encoding="utf-8"),
        "the backbone's weights": protocol.get("weights_sha256") == plan.backbone.weights_sha256,
        "the detector": protocol.get("detector_sha256") == plan.detector.fingerprint,
    }
    changed = [what for what, is_same in same.items() if not is_same]
    if changed:
        raise ModelError(
            f"{run_dir}: {', '.join(changed)} changed since the run was made; make it again, or "
            "audit the study"
        )
