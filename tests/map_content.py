"""The content of the map of cells in a report, as its script reads it."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np


def decoded(content: str) -> tuple[dict[str, Any], np.ndarray, list[str], dict[str, Any]]:
    """Header, places (cells, 2), names, and columns: labels as list, or floats with NaN."""
    data = zlib.decompress(base64.b64decode(content))
    of_names, of_header = np.frombuffer(data[-8:], "<u4").tolist()
    header = json.loads(data[len(data) - 8 - of_header : -8])
    count = header["cells"]
    places = np.frombuffer(data[: 4 * count], "<u2").reshape(2, count).T
    at = 4 * count + of_names
    names, columns = json.loads(data[4 * count : at]), {}
    for column in header["columns"]:
        size = column["bytes"] * count
        codes = np.frombuffer(data[at : at + size], f"<u{column['bytes']}").astype(int)
        missing, at = 256 ** column["bytes"] - 1, at + size
        if "names" in column:
            columns[column["name"]] = [
                "" if code == missing else column["names"][code] for code in codes
            ]
            continue
        span = column["high"] - column["low"]
        values = column["low"] + codes / (missing - 1) * span
        columns[column["name"]] = np.where(codes == missing, np.nan, values)
    assert at == len(data) - 8 - of_header
    return header, places, names, columns
