"""Files that are either complete or not there, and hashes of their content."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends without error.

    The suffix is kept, so that writers which go by it do the right thing. On an error or an
    interrupt the temporary file is removed and what stood at `path` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes | str) -> Path:
    """Write `data` to `path` (text as UTF-8) so that no reader ever sees half of it."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of the file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_values(**values: Any) -> str:
    """Return a short content address of JSON-like `values`: equal values, equal address."""
    return sha256_values(**values)[:24]


def sha256_values(**values: Any) -> str:
    """Return the SHA-256 of JSON-like `values`, in whatever order they are given."""
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, workbook or Parquet, by the suffix of `path`, whole or not at all."""
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False, encoding="utf-8-sig")
        elif path.suffix == ".xlsx":
            as_text = {"strings_to_formulas": False, "strings_to_urls": False}
            table.to_excel(
                temporary, index=False, engine="xlsxwriter", engine_kwargs={"options": as_text}
            )
        else:
            table.to_parquet(temporary, index=False)
    return path
