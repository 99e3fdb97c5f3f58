"""Emotional states of dogs from their faces.

Each command of the command line is one function here: `run(study)`, `load_model(run).predict(...)`
and so on; none has the name of a module, which would take its place. Importing canemo is instant:
heavy libraries load with the first call.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canemo.auditing import audit_study
    from canemo.bundles import export_bundle, verify_run
    from canemo.comparing import compare_models
    from canemo.concepts.study_concepts import concepts_study
    from canemo.config import Config, load_config
    from canemo.detectors import (
        evaluate_detectors,
        import_faces,
        pick_study_frames,
        train_detector,
    )
    from canemo.errors import CanemoError
    from canemo.explaining import explain_models
    from canemo.faces.detect.registry import load_detector
    from canemo.networks.backbones import load_backbone
    from canemo.pipeline import (
        crop_study,
        demo,
        doctor,
        embed_study,
        evaluate_study,
        predict_videos,
        report_run,
        run,
    )
    from canemo.predict import Model, load_model
    from canemo.records import Study
    from canemo.run_pairs import compare_runs
    from canemo.species import Species
    from canemo.study.check import check_study
    from canemo.study.load import load_study
    from canemo.video.info import probe_video
    from canemo.video.reader import iter_frames

_HOMES = {
    "CanemoError": "errors",
    "Config": "config",
    "Model": "predict",
    "Species": "species",
    "Study": "records",
    "audit_study": "auditing",
    "check_study": "study.check",
    "compare_models": "comparing",
    "compare_runs": "run_pairs",
    "concepts_study": "concepts.study_concepts",
    "crop_study": "pipeline",
    "demo": "pipeline",
    "doctor": "pipeline",
    "embed_study": "pipeline",
    "evaluate_detectors": "detectors",
    "evaluate_study": "pipeline",
    "explain_models": "explaining",
    "export_bundle": "bundles",
    "import_faces": "detectors",
    "iter_frames": "video.reader",
    "load_backbone": "networks.backbones",
    "load_config": "config",
    "load_detector": "faces.detect.registry",
    "load_model": "predict",
    "load_study": "study.load",
    "pick_study_frames": "detectors",
    "predict_videos": "pipeline",
    "probe_video": "video.info",
    "report_run": "pipeline",
    "run": "pipeline",
    "train_detector": "detectors",
    "verify_run": "bundles",
}

__all__ = [
    "CanemoError",
    "Config",
    "Model",
    "Species",
    "Study",
    "audit_study",
    "check_study",
    "compare_models",
    "compare_runs",
    "concepts_study",
    "crop_study",
    "demo",
    "doctor",
    "embed_study",
    "evaluate_detectors",
    "evaluate_study",
    "explain_models",
    "export_bundle",
    "import_faces",
    "iter_frames",
    "load_backbone",
    "load_config",
    "load_detector",
    "load_model",
    "load_study",
    "pick_study_frames",
    "predict_videos",
    "probe_video",
    "report_run",
    "run",
    "train_detector",
    "verify_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'canemo' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"canemo.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
