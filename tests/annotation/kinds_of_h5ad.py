"""Small h5ad files of all the kinds that people have, and what is stored in a file, element by
element.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas
from scipy import sparse

CELLS, GENES = 12, 7
TEXT = h5py.string_dtype("utf-8")
ZSTD = 32015  # a filter that is in no HDF5 without its plugin
Maker = Callable[[Path], None]
KINDS: dict[str, Maker] = {}


def kind(make: Maker) -> Maker:
    """Register a maker of files by the name of its function."""
    KINDS[make.__name__] = make
    return make


def full(matrix: Any = None) -> anndata.AnnData:
    """An AnnData with something in each of its parts."""
    random = np.random.default_rng(0)
    counts = (
        sparse.random(CELLS, GENES, 0.4, "csr", np.float32, random) if matrix is None else matrix
    )
    text = pandas.array(["a", None, "c"] * (CELLS // 3), dtype="string")
    obs = pandas.DataFrame(
        {
            "cell_type": pandas.Categorical(["B", None, "T/NK"] * (CELLS // 3)),
            "stage": pandas.Categorical(["x", "y"] * (CELLS // 2), ["y", "x"], ordered=True),
            "number": np.arange(CELLS),
            "score": np.linspace(0, 1, CELLS, dtype=np.float32),
            "is_good": np.arange(CELLS) % 2 == 0,
            "nullable": pandas.array([1, None, 3] * (CELLS // 3), dtype="Int64"),
            "nullable_boolean": pandas.array([True, None, False] * (CELLS // 3), dtype="boolean"),
            "free text": np.array([f"cell {number}" for number in range(CELLS)], object),
            "Zelltyp (ä, 細胞)": pandas.Categorical(["ö"] * CELLS),
            "nullable_text": text,
        },
        index=[f"cell{number}" for number in range(CELLS)],
    )
    var = pandas.DataFrame(
        {"gene_ids": [f"ENSG{number:011}" for number in range(GENES)]},
        index=[f"GENE{number}" for number in range(GENES)],
    )
    data = anndata.AnnData(counts, obs, var)
    data.raw = data.copy()
    data.layers["counts"] = sparse.csr_matrix(np.ones((CELLS, GENES), np.int32))
    data.obsm["X_pca"] = random.standard_normal((CELLS, 3))
    data.obsm["frame"] = pandas.DataFrame({"a": np.arange(CELLS)}, index=data.obs_names)
    data.varm["loadings"] = random.standard_normal((GENES, 2))
    data.obsp["distances"] = sparse.eye(CELLS, format="csr")
    data.varp["correlation"] = np.eye(GENES)
    data.uns = {
        "title": "a title",
        "log1p": {"base": 2.0},
        "cell_type_colors": np.array(["#ff0000", "#00ff00"], object),
        "deep": {"er": {"still": np.arange(3), "table": obs[["number"]]}},
        "ranked": np.rec.array([("a", 1.0)], dtype=[("name", "O"), ("score", "f4")]),
    }
    return data


def write(data: anndata.AnnData, path: Path, **options: Any) -> None:
    """Write it as anndata does now."""
    with anndata.settings.override(allow_write_nullable_strings=True):
        data.write_h5ad(path, **options)


@kind
def present_day(path: Path) -> None:
    write(full(), path)


@kind
def compressed(path: Path) -> None:
    write(full(), path, compression="lzf")


@kind
def by_columns(path: Path) -> None:
    write(full(sparse.random(CELLS, GENES, 0.4, "csc", np.float64, 1)), path)


@kind
def dense(path: Path) -> None:
    write(full(np.arange(CELLS * GENES, dtype=np.float16).reshape(CELLS, GENES)), path)


@kind
def without_x(path: Path) -> None:
    data = full()
    data.raw, data.X = None, None
    write(data, path)


@kind
def only_obs_and_var(path: Path) -> None:
    write(full(), path)
    with h5py.File(path, "r+") as file:
        for name in set(file) - {"X", "obs", "var"}:
            del file[name]


@kind
def newest_format(path: Path) -> None:
    """All object headers are of version 2, as HDF5's newest format has them."""
    write(full(), path)
    old = path.with_suffix(".old")
    path.rename(old)
    with h5py.File(old) as file, h5py.File(path, "w", libver="latest") as new:
        for name in file:
            file.copy(name, new)
        for name, value in file.attrs.items():
            new.attrs[name] = value
    old.unlink()


@kind
def unknown_parts(path: Path) -> None:
    """Groups, links, references, types and filters that no anndata writes."""
    write(full(), path)
    with h5py.File(path, "r+") as file:
        file["modified/by/somebody"] = np.arange(4)
        file["modified"].attrs["remark"] = "unknown to all"
        file["a type"] = np.dtype([("x", "f4"), ("y", "i8")])
        file["modified/soft"] = h5py.SoftLink("/obs/number")
        file["modified/hard"] = file["obs/score"]
        file["modified/reference"] = file["obs/number"].ref
        file["obs"].attrs["of"] = file["var"].ref
        file["modified/complex"] = np.arange(3) * 1j
        file["modified/ragged"] = np.array([np.arange(2), np.arange(3)], object).astype(
            h5py.vlen_dtype(np.int32)
        )
        file.create_dataset("layers/sums", data=np.ones((CELLS, GENES)), fletcher32=True)
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((4,))
        properties.set_filter(ZSTD, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((8,))
        unknown = h5py.h5d.create(
            file["modified"].id, b"zstd", h5py.h5t.NATIVE_INT32, space, properties
        )
        for start in (0, 4):
            unknown.write_direct_chunk((start,), b"not really zstd" + bytes([start]))


@kind
def hostile_names(path: Path) -> None:
    write(full(), path)
    with h5py.File(path, "r+") as file:
        names = ["cell/type", "screader_label", "screader_label_1", "screader_label_1_previous",
                 "screader_notes/of me", "screader_\N{GREEK SMALL LETTER ALPHA}",
                 "screaderlabel", " ", "(" * 50]  # fmt: skip
        for name in names:
            anndata.io.write_elem(file["obs"], name, pandas.Categorical(["x", "y"] * (CELLS // 2)))
        order = [*file["obs"].attrs["column-order"], *names]
        file["obs"].attrs["column-order"] = np.array(order, object)
        file["uns/screader_label_colors"] = np.array(["#000000", "#ffffff"], TEXT)
        file["obsm/X_screader"] = np.ones((CELLS, 2))
        file["obsm/X_screader_previous_2"] = np.zeros((CELLS, 2))
        anndata.io.write_elem(file["uns"], "screader", {"tool": "annotate", "calls": np.arange(2)})


@kind
def categorical_index(path: Path) -> None:
    write(full(), path)
    with h5py.File(path, "r+") as file:
        names = pandas.Categorical(file["obs/_index"].asstr()[()])
        del file["obs/_index"]
        anndata.io.write_elem(file["obs"], "_index", names)


@kind
def nullable_index(path: Path) -> None:
    write(full(), path)
    with h5py.File(path, "r+") as file:
        names = file["obs/_index"].asstr()[()]
        del file["obs/_index"], file["obsm/frame"]
        with anndata.settings.override(allow_write_nullable_strings=True):
            anndata.io.write_elem(file["obs"], "_index", pandas.array(names, dtype="string"))


@kind
def no_columns(path: Path) -> None:
    data = full()
    data.obs = data.obs[[]]
    write(data, path)


@kind
def of_version_0_7(path: Path) -> None:
    """Categories apart, under ``__categories``, to which each column of codes refers."""
    write(full(), path)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        for name in ("nullable", "nullable_boolean", "nullable_text", "stage"):
            del obs[name]
        for name in ("cell_type", "Zelltyp (ä, 細胞)"):
            codes, categories = obs[name]["codes"][()], obs[name]["categories"][()]
            del obs[name]
            obs[name] = codes
            table = obs.require_group("__categories").create_dataset(name, data=categories)
            table.attrs["ordered"] = False
            obs[name].attrs["categories"] = table.ref
        order = ["cell_type", "number", "score", "is_good", "free text", "Zelltyp (ä, 細胞)"]
        obs.attrs["column-order"] = np.array(order, object)
        obs.attrs["encoding-version"] = "0.1.0"

        def unmark(_: str, element: Any) -> None:
            if element.attrs.get("encoding-type") not in ("dataframe", "csr_matrix", "csc_matrix"):
                for name in ("encoding-type", "encoding-version"):
                    element.attrs.pop(name, None)

        del file["raw"], file["uns/deep"], file["obsm/frame"]
        file.visititems(unmark)
        for name in ("encoding-type", "encoding-version"):
            del file.attrs[name]


@kind
def before_0_7(path: Path) -> None:
    """obs, var, obsm and varm are compound datasets; categories are in uns."""
    write(full(), path)
    with h5py.File(path, "r+") as file:
        for name in set(file) - {"X"}:
            del file[name]
        for name in ("encoding-type", "encoding-version"):
            del file.attrs[name], file["X"].attrs[name]
        file["X"].attrs["h5sparse_format"], file["X"].attrs["h5sparse_shape"] = (
            "csr",
            (CELLS, GENES),
        )
        del file["X"].attrs["shape"]
        fields = [("index", "S8"), ("louvain", "i1"), ("score", "f4"), ("text", "S12"), ("n", "i8")]
        rows = [(f"cell{n}".encode(), n % 3 - 1, n / 7, b"size", 5 * n) for n in range(CELLS)]
        file["obs"] = np.array(rows, fields)
        file["var"] = np.array(
            [(f"GENE{number}".encode(), number) for number in range(GENES)],
            [("index", "S8"), ("n_cells", "i8")],
        )
        obsm = np.zeros(CELLS, [("X_pca", "f4", (3,)), ("X_umap", "f8", (2,))])
        obsm["X_pca"] = np.arange(3 * CELLS).reshape(CELLS, 3)
        file["obsm"] = obsm
        file["uns/louvain_categories"] = np.array([b"0", b"1"])
        file["uns/n_categories"] = np.array([b"too few"])
        file["uns/pca/variance"] = np.arange(3)


def write_wide(path: Path, columns: int) -> None:
    """So many columns, all of them the same dataset."""
    present_day(path)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        order = list(obs.attrs["column-order"])
        names = [f"s{number}" for number in range(columns - len(order))]
        for name in names:
            obs[name] = obs["number"]
        obs.attrs["column-order"] = np.array([*order, *names], object)


def stored(path: Path) -> dict[str, Any]:
    """By path, all that is stored of each object: type, attributes, shape, filters and bytes."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        _collect(file, "", found)
    return found


def _collect(group: h5py.Group, path: str, found: dict[str, Any]) -> None:
    found[path or "/"] = ("group", _attributes(group, group.file))
    for name in group:
        link = group.get(name, getlink=True)
        inner = f"{path}/{name}"
        if isinstance(link, h5py.SoftLink):
            found[inner] = ("link", link.path)
            continue
        element = group[name]
        if isinstance(element, h5py.Group):
            _collect(element, inner, found)
        elif isinstance(element, h5py.Datatype):
            found[inner] = ("type", element.dtype, _attributes(element, group.file))
        else:
            found[inner] = _dataset(element)


def _dataset(dataset: h5py.Dataset) -> tuple:
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number) for number in range(properties.get_nfilters())]
    if dataset.chunks is None:
        content: Any = _value(dataset[()], dataset.file)
    else:
        chunks = (
            dataset.id.get_chunk_info(number) for number in range(dataset.id.get_num_chunks())
        )
        offsets = sorted(chunk.chunk_offset for chunk in chunks)
        content = [(offset, dataset.id.read_direct_chunk(offset)) for offset in offsets]
        if dataset.dtype.kind == "O":
            content = _value(dataset[()], dataset.file)
    kind = (dataset.id.get_type().get_class(), dataset.dtype, dataset.id.get_type().get_size())
    shape = (dataset.shape, dataset.maxshape, dataset.chunks, properties.get_layout())
    return ("dataset", kind, shape, filters, _attributes(dataset, dataset.file), content)


def _attributes(element: Any, file: h5py.File) -> dict[str, Any]:
    return {name: (element.attrs.get_id(name).dtype, _value(value, file))
            for name, value in element.attrs.items()}  # fmt: skip


def _value(value: Any, file: h5py.File) -> Any:
    if isinstance(value, h5py.Reference):
        return ("reference", file[value].name)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return (value.shape, [_value(one, file) for one in value.ravel()])
    if isinstance(value, np.ndarray | np.generic):  # by their bytes, as NaN is not equal to itself
        return (value.dtype, value.shape, value.tobytes())
    return value
