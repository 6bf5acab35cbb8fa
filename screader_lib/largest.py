"""The largest values of the rows of a matrix."""

from __future__ import annotations

import numpy as np

GROUPS = 20  # of columns, for each of the largest values that are sought


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Columns of the ``count`` largest values of each row, rising, int64 (rows, count).

    Of equal values the first. The maxima of groups of columns tell how large a value has to be to
    be among them, which leaves few to be sorted: several times as fast as ``np.argpartition``.
    """
    rows, columns = values.shape
    if not rows or not count:
        return np.zeros((rows, count), np.int64)
    bound = np.full((rows, 1), -np.inf, values.dtype)
    in_group = columns // (GROUPS * count)
    if in_group > 1:
        groups = columns // in_group
        maxima = values[:, : groups * in_group].reshape(rows, in_group, groups).max(1)
        bound = np.partition(maxima, groups - count, axis=1)[:, groups - count, None]
    row, column = np.divmod(np.flatnonzero(values >= bound), columns)
    order = np.lexsort((column, -values[row, column], row))
    first = np.searchsorted(row, np.arange(rows))
    chosen = column[order[first[:, None] + np.arange(count)]]
    return np.sort(chosen, axis=1)
