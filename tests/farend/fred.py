"""FRED's API as `fredapi` calls it, in XML, or JSON where `file_type=json` asks for it."""

from farend.paging import Call
from farend.shapes import Reply


def answer(call: Call) -> Reply:
    return Reply("", 404)
