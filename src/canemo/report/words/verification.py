"""What came out of computing a run's numbers again, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canemo.report.tables import Column, describe_records, describe_texts, format_text


def format_verification(found: Mapping[str, Any]) -> str:
    """Return what `canemo verify` found: a line per part, what differs, the verdict."""
    files = found["files"]
    changed = [name for name, is_same in files.items() if not is_same]
    parts = {"files": f"{len(files) - len(changed)} of {len(files)} unchanged"}
    if found["predictions"] is not None:
        parts["predictions"] = f"differ by at most {found['predictions']:.2g}"
    parts |= {
        name: f"{section['agree']} of {section['numbers']} agree"
        for name, section in found["sections"].items()
    }
    differ = [each for section in found["sections"].values() for each in section["differ"]]
    columns = [Column(key, key.capitalize()) for key in ("key", "stored", "recomputed")]
    lines = [
        format_text(describe_texts("", parts), is_captioned=False),
        *(f"changed or missing: {name}" for name in changed),
        format_text(describe_records("Numbers that differ:", columns, differ)) if differ else "",
        *(f"note: {note}" for note in found["notes"]),
        "everything agrees" if found["agrees"] else "NOT everything agrees",
    ]
    return "\n".join(filter(None, lines))
