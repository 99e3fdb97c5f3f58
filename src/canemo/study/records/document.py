"""JSON files that say what they are: `format` and `schema` stand before all else.

Whoever reads one gets a frozen record, or one error that says what was found there and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from canemo.errors import ModelError
from canemo.files import write_atomically


@dataclass(frozen=True)
class Format:
    """A kind of JSON file: its name and version as they stand in it, what it is, how to get one."""

    name: str
    schema: int
    what: str
    remedy: str


RUN = Format("canemo.run", 2, "a finished run", "make the run again with `canemo run STUDY`")
COMPARISON = Format(
    "canemo.comparison",
    2,
    "a finished comparison",
    "make it again with `canemo compare STUDY`",
)
RUNS_COMPARISON = Format(
    "canemo.runs_comparison",
    2,
    "a comparison of runs",
    "compare them with `canemo compare RUN RUN`",
)
CONFOUNDS = Format(
    "canemo.confounds",
    1,
    "an audit of confounds",
    "make it again with `canemo audit RUN --confounds`",
)
CLIPS = Format("canemo.clips", 1, "a sheet of clips", "make the run again with `canemo run STUDY`")
EXPLANATION = Format(
    "canemo.explanation", 5, "an explanation", "explain it again with `canemo explain RUN`"
)
CONCEPTS = Format(
    "canemo.concepts",
    2,
    "a result of concepts",
    "make it again with `canemo concepts STUDY`",
)


DYNAMICS = Format(
    "canemo.dynamics", 1, "a result of dynamics", "make it again with `canemo dynamics STUDY`"
)
MODEL = Format("canemo.model", 4, "a saved model", "train it again with `canemo run STUDY`")
FOLDS = Format(
    "canemo.folds", 2, "classifiers of folds", "run the study again with `canemo run STUDY`"
)


class Part(BaseModel):
    """A part of a record: frozen, with no key that it does not know, without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as it stands in the file; keys that it does not have are left out."""
        return self.model_dump(mode="json", exclude_unset=True)


class Document(Part):
    """A whole file."""

    FORMAT: ClassVar[Format]

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        return stamp(super().to_dict(), self.FORMAT)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file; ModelError where it is missing, damaged or of another format."""
        content = read_document(path, cls.FORMAT)
        try:
            return cls.model_validate(content)
        except ValidationError as exc:
            raise ModelError(f"{path}: {describe_invalid(exc)}; {cls.FORMAT.remedy}") from exc

    def write(self, path: Path) -> Path:
        """Write the file, complete or not at all."""
        return write_atomically(path, format_json(self.to_dict()))


def stamp(content: Mapping[str, Any], kind: Format) -> dict[str, Any]:
    """Return what a file of this format holds."""
    return {"format": kind.name, "schema": kind.schema, **content}


def format_json(content: Mapping[str, Any]) -> str:
    """Return JSON as every file has it; numbers that are not finite are an error, never NaN."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def read_document(path: Path, kind: Format) -> dict[str, Any]:
    """Return what a JSON file holds besides its format and schema, which must be those of `kind`.

    Raises
    ------
    ModelError
        It is missing or damaged, or something else.
    """
    content = parse_json(path, kind)
    require_format(content, kind, path)
    return {key: value for key, value in content.items() if key not in ("format", "schema")}


def require_format(content: Mapping[str, Any], kind: Format, path: Path) -> None:
    """Raise ModelError where what `path` holds is not of a format and schema."""
    name, schema = content.get("format"), content.get("schema")
    if schema != kind.schema:
        raise ModelError(
            f"{path}: schema is {schema!r}, this version of canemo reads schema {kind.schema} of "
            f"{kind.name!r}; {kind.remedy}"
        )
    if name != kind.name:
        raise ModelError(f"{path}: format is {name!r}, wanted {kind.name!r}; {kind.remedy}")


def parse_json(path: Path, kind: Format) -> dict[str, Any]:
    """Return what a JSON file holds; ModelError where it is missing or no object."""
    try:
        content = json.loads(read_text(path, kind))
    except json.JSONDecodeError as exc:
        raise ModelError(f"{path}: not valid JSON ({exc}); {kind.remedy}") from exc
    if not isinstance(content, dict):
        found = type(content).__name__
        raise ModelError(f"{path}: holds a {found}, wanted an object; {kind.remedy}")
    return content


def read_text(path: Path, kind: Format) -> str:
    """Return a file's text; ModelError, in the words of `kind`, where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ModelError(
            f"{path.parent}: not {kind.what}, {path.name} is missing; {kind.remedy}, or name the "
            f"folder that holds {path.name}"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelError(f"{path}: cannot be read ({exc}); {kind.remedy}") from exc


def describe_invalid(exc: ValidationError) -> str:
    """Return the first thing that is wrong, and how many more there are."""
    first = exc.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    more = f" and {exc.error_count() - 1} more like it" if exc.error_count() > 1 else ""
    return f"{place}: {first['msg'].lower()}{more}"
