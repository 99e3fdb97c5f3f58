"""Files that are either complete or not there, and hashes of their content."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from canemo.errors import ConfigError

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


def require_output(path: Path, *, endings: Collection[str] = ()) -> None:
    """Refuse a file before the work that it is to hold, where it could not be written afterwards.

    Raises
    ------
    ConfigError
        Its name ends in none of `endings`, a folder has it, or nothing can be written there.
    """
    if endings and path.suffix.lower() not in endings:
        raise ConfigError(f"{path}: the name of this file must end in {' or '.join(endings)}")
    if path.is_dir():
        raise ConfigError(f"{path}: this is a folder; name a file in it")
    require_writable(path.parent)


def require_writable(folder: Path) -> None:
    """Raise ConfigError where nothing can be written into a folder, which need not be there yet."""
    folder = folder.absolute()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise ConfigError(f"{there} is a file; name a folder")
    try:
        TemporaryFile(dir=there).close()
    except OSError as exc:
        raise ConfigError(
            f"{folder}: nothing can be written into {there} ({exc.strerror}); name another place, "
            "or ask for the right to write there"
        ) from exc


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
