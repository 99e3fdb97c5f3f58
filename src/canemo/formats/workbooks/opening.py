"""What a file is by its content, whatever its name says, and its sheets."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from xml.etree.ElementTree import ParseError

from canemo.formats.delimited import TableFileError
from canemo.formats.workbooks.ods import read_ods
from canemo.formats.workbooks.sheet import Sheet
from canemo.formats.workbooks.xlsx import read_xlsx

WORKBOOK_SUFFIXES = (".xlsx", ".ods", ".xlsm", ".xls")
"""The last is refused with a sentence."""

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAX_BYTES = 2 * 1024**3  # unpacked
_MAX_MANIFEST = 1024**2
_SAVE_AGAIN = "open it in Excel or LibreOffice and save it again as .xlsx"
_DAMAGES = (
    zipfile.BadZipFile, zlib.error, ParseError, EOFError, KeyError, ValueError, IndexError,
    NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip


def is_workbook(path: Path) -> bool:
    """Whether a file is a workbook, or is named like one."""
    if path.suffix.lower() in WORKBOOK_SUFFIXES:
        return True
    try:
        with path.open("rb") as handle:
            return handle.read(8).startswith((_ZIP, _OLE))
    except OSError:
        return False


def read_workbook(path: Path) -> list[Sheet]:
    """Read all sheets of a workbook.

    Raises
    ------
    TableFileError
        It cannot be read, is no workbook, is protected by a password or damaged.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(8)
        if not start.startswith(_ZIP):
            raise _refuse(path, start)
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive)
    except OSError as exc:
        raise TableFileError(
            f"cannot be read ({exc.strerror or exc})", "a workbook that is not open elsewhere"
        ) from exc
    except _DAMAGES as exc:
        if isinstance(exc, TableFileError):
            raise
        raise TableFileError("is a damaged workbook", _SAVE_AGAIN) from exc


def _read_archive(archive: zipfile.ZipFile) -> list[Sheet]:
    names = set(archive.namelist())
    if sum(part.file_size for part in archive.infolist()) > _MAX_BYTES:
        raise TableFileError("unpacks to more than 2 GiB", "a workbook with nothing but the table")
    if "[Content_Types].xml" in names:
        if any(name.endswith("workbook.bin") for name in names):
            raise TableFileError("is a binary workbook (.xlsb)", _SAVE_AGAIN)
        return read_xlsx(archive)
    if "content.xml" in names:
        with archive.open("META-INF/manifest.xml") as manifest:
            is_locked = b"encryption-data" in manifest.read(_MAX_MANIFEST)
        if is_locked:
            raise _refuse_password()
        return read_ods(archive)
    raise TableFileError("is no workbook that canemo reads", _SAVE_AGAIN)


def _refuse(path: Path, start: bytes) -> TableFileError:
    if start != _OLE:
        advice = "if it is text, name it .csv; else " + _SAVE_AGAIN
        return TableFileError("is no workbook, though it is named like one", advice)
    if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
        return _refuse_password()
    return TableFileError("is a workbook of Excel before 2007 (.xls)", _SAVE_AGAIN)


def _refuse_password() -> TableFileError:
    return TableFileError(
        "is protected by a password", "save a copy without one (Save as, no password to open)"
    )
