"""Emotional states of dogs from their faces.

Each command of the command line is one function here: `run(study)`, `load_model(run).predict(...)`
and so on; none has the name of a module, which would take its place. Importing canemo is instant:
heavy libraries load with the first call.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canemo.config import Config, load_config
    from canemo.errors import CanemoError
    from canemo.faces.detect.registry import load_detector
    from canemo.networks.backbones import load_backbone
    from canemo.pipeline.audit import audit_study
    from canemo.pipeline.check import check_study
    from canemo.pipeline.compare_models import compare_models
    from canemo.pipeline.compare_runs import compare_runs
    from canemo.pipeline.concepts import concepts_study
    from canemo.pipeline.demo import demo
    from canemo.pipeline.detector import (
        evaluate_detectors,
        import_faces,
        pick_study_frames,
        train_detector,
    )
    from canemo.pipeline.doctor import doctor
    from canemo.pipeline.dynamics import dynamics_study
    from canemo.pipeline.explain import explain_models
    from canemo.pipeline.material import show_material
    from canemo.pipeline.measure import find_faces, measure_faces, measure_files
    from canemo.pipeline.model import Model, load_model
    from canemo.pipeline.predict import predict_videos
    from canemo.pipeline.run import crop_study, embed_study, evaluate_study, report_run, run
    from canemo.pipeline.verify import export_bundle, verify_run
    from canemo.records import Study
    from canemo.species import Species
    from canemo.study.load import load_study
    from canemo.video.info import probe_video
    from canemo.video.reader import iter_frames

_HOMES = {
    "CanemoError": "errors",
    "Config": "config",
    "Model": "pipeline.model",
    "Species": "species",
    "Study": "records",
    "audit_study": "pipeline.audit",
    "check_study": "pipeline.check",
    "compare_models": "pipeline.compare_models",
    "compare_runs": "pipeline.compare_runs",
    "concepts_study": "pipeline.concepts",
    "crop_study": "pipeline.run",
    "demo": "pipeline.demo",
    "doctor": "pipeline.doctor",
    "dynamics_study": "pipeline.dynamics",
    "embed_study": "pipeline.run",
    "evaluate_detectors": "pipeline.detector",
    "evaluate_study": "pipeline.run",
    "explain_models": "pipeline.explain",
    "export_bundle": "pipeline.verify",
    "find_faces": "pipeline.measure",
    "import_faces": "pipeline.detector",
    "iter_frames": "video.reader",
    "load_backbone": "networks.backbones",
    "load_config": "config",
    "load_detector": "faces.detect.registry",
    "load_model": "pipeline.model",
    "load_study": "study.load",
    "measure_faces": "pipeline.measure",
    "measure_files": "pipeline.measure",
    "pick_study_frames": "pipeline.detector",
    "predict_videos": "pipeline.predict",
    "probe_video": "video.info",
    "report_run": "pipeline.run",
    "run": "pipeline.run",
    "show_material": "pipeline.material",
    "train_detector": "pipeline.detector",
    "verify_run": "pipeline.verify",
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
    "dynamics_study",
    "embed_study",
    "evaluate_detectors",
    "evaluate_study",
    "explain_models",
    "export_bundle",
    "find_faces",
    "import_faces",
    "iter_frames",
    "load_backbone",
    "load_config",
    "load_detector",
    "load_model",
    "load_study",
    "measure_faces",
    "measure_files",
    "pick_study_frames",
    "predict_videos",
    "probe_video",
    "report_run",
    "run",
    "show_material",
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
