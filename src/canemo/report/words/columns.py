"""What the columns of tables of frames and clips mean, a sentence each without its full stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from canemo.learn.predictions import PROBABILITY
from canemo.report.words.wording import quote
from canemo.species import Species

LEDGER: Mapping[str, str] = {
    "video_id": "the clip",
    "path": "its file",
    "subject_id": "the dog it shows",
    "label": "the condition it was filmed in",
    "frame_index": "number of the frame in the file, from 0; empty where the rest of a file could "
    "not be decoded",
    "time_s": "seconds from the first picture of the file",
    "fate": "what became of the frame: used; no_face; low_score, a face too uncertain; too_small; "
    "other_face, another face than the one that was followed, or what looked like one; "
    "decode_error, the picture could not be read",
    "x0": "left edge of the face, in the picture as shown",
    "y0": "upper edge of the face",
    "x1": "right edge of the face",
    "y1": "lower edge of the face",
    "score": "how sure the detector is that this is a face, 0 to 1",
    "box_source": "detected; between, laid between two frames in which the face was found; "
    "interpolated, a short gap that was bridged",
    "crop_x0": "left edge of what was cut out",
    "crop_y0": "upper edge of what was cut out",
    "crop_x1": "right edge of what was cut out",
    "crop_y1": "lower edge of what was cut out",
    "brightness": "mean brightness of what was cut out, 0 to 255",
    "sharpness": "how sharp it is; low where it is blurred, also raised by noise",
}
"""Of a frame that was looked at."""

UNITS: Mapping[str, str] = {"time_s": "seconds", "duration_s": "seconds"} | dict.fromkeys(
    ("x0", "y0", "x1", "y1", "crop_x0", "crop_y0", "crop_x1", "crop_y1"), "pixels"
)
"""Of columns of frames and clips."""

_VERDICT = {
    "model_verdict": "whether the model could be told from chance on dogs it had not seen; "
    "the sheet model says more",
}
_PREDICTED = (
    "the condition with the highest probability; undecided where the model could not be told from "
    "chance and no answer was asked for all the same; empty without a face"
)


def describe_predicted_frames(labels: Sequence[str]) -> dict[str, str]:
    """Return what the columns of the frames that a model classified mean."""
    return {
        **LEDGER,
        **_describe_probabilities(labels, "of this frame"),
        "predicted": _PREDICTED,
        **_VERDICT,
    }


def describe_predicted_clips(labels: Sequence[str]) -> dict[str, str]:
    """Return what the columns of the clips that a model classified mean."""
    return {
        "video_id": LEDGER["video_id"],
        "path": LEDGER["path"],
        "status": "ok; no_face, no usable face was found; failed, the file could not be read",
        "frames": "frames that were looked at",
        "faces": "frames with a face that was used",
        **_describe_probabilities(labels, "of the clip, the mean over its frames that count"),
        "predicted": _PREDICTED,
        "decided": "the condition, where it is the only one that is not too unusual at the level "
        "that was asked for; undecided else",
        **_VERDICT,
        "message": "what to know of this clip",
    }


def describe_measured_frames(species: Species, meters: Mapping[str, str]) -> dict[str, str]:
    """Return what the columns of measured frames mean but those of points.

    `meters` are what the probability of each meter is of, by its name.
    """
    columns = dict(LEDGER)
    for name, meaning in meters.items():
        columns[name] = (
            f"probability that {meaning}, where that is as likely as not beforehand; empty where "
            "nothing is said"
        )
        columns[f"{name}_reason"] = "why nothing is said"
    for measure in species.measures:
        columns[measure.name] = f"{measure.meaning} [{measure.unit}]"
        columns[f"{measure.name}_confidence"] = "how sure the points are that it rests on, 0 to 1"
    return columns


def describe_measured_clips(species: Species, meters: Mapping[str, str]) -> dict[str, str]:
    """Return what the columns of measured clips mean; `meters` as in their frames."""
    columns = {
        "video_id": "the clip or picture",
        "path": LEDGER["path"],
        "status": "ok; no_face, no usable face was found; failed, the file could not be read",
        "frames": "frames that were looked at",
        "faces": "frames with a face that was used",
    }
    for name, meaning in meters.items():
        columns[f"{name}_share"] = f"share of the frames answered in which {meaning}, 0 to 1"
        columns[f"{name}_answered"] = "frames of which that was said"
    for measure in species.measures:
        meaning = f"{measure.meaning} [{measure.unit}]"
        columns[f"{measure.name}_median"] = f"median over the frames: {meaning}"
        columns[f"{measure.name}_p10"] = "a tenth of the frames lies below"
        columns[f"{measure.name}_p90"] = "a tenth of the frames lies above"
        columns[f"{measure.name}_confidence"] = "median of how sure its points are, 0 to 1"
    return columns | {"message": "what to know of this clip or picture"}


def _describe_probabilities(labels: Sequence[str], whose: str) -> dict[str, str]:
    return {
        PROBABILITY + label: f"probability of {quote(label)} {whose}, 0 to 1; no measure of how "
        "strong anything is"
        for label in labels
    }
