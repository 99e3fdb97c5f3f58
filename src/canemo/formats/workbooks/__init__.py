"""Workbooks of Excel and LibreOffice, read cell by cell as the text that a person sees.

Libraries that read them keep quiet about rows that are hidden, cells that are merged or formulas
that were never computed, or hold every empty cell in memory; here a sheet passes by once.
"""

from canemo.formats.workbooks.opening import WORKBOOK_SUFFIXES, is_workbook, read_workbook
from canemo.formats.workbooks.sheet import Sheet, choose_sheet

__all__ = ["WORKBOOK_SUFFIXES", "Sheet", "choose_sheet", "is_workbook", "read_workbook"]
