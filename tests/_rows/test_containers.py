import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sklearn_dlf._rows import containers
from sklearn_dlf._rows.containers import (
    as_container,
    concatenate,
    map_sparse_columns,
    number_columns,
    numbers_of,
    swap_columns,
    take,
    with_numbers,
)

pl = pytest.importorskip("polars")

CLASSIC = pd.DataFrame(
    {
        "size": np.array([1, 2, 3], dtype=np.uint8),
        "share": np.array([0.5, np.nan, 0.1], dtype=np.float32),
        "kind": pd.Categorical(["a", "b", None], categories=["b", "a", "c"]),
        "new": [True, False, True],
        "day": pd.to_datetime(["2020-01-01", None, "2021-05-05"]),
        "name": ["x", "y", None],
    },
    index=[7, 8, 9],
)
NULLABLE = pd.DataFrame(
    {
        "count": pd.array([1, None, 3], dtype="Int64"),
        "rate": pd.array([0.5, None, 2.5], dtype="Float64"),
        "ok": pd.array([True, None, False], dtype="boolean"),
        "name": pd.array(["x", None, "z"], dtype="string"),
    }
)
POLARS = pl.DataFrame(
    {"size": [1, 2, 3], "share": [0.5, None, 0.1], "kind": ["a", None, "b"]},
    schema={"size": pl.Int16, "share": pl.Float32, "kind": pl.Categorical},
)
FRAMES = {"classic": CLASSIC, "nullable": NULLABLE, "polars": POLARS}

FIRST, SECOND = np.array([0, 1, 2, 2]), np.array([2, 0, 1, 0])


def as_lists(frame):
    """Rows of a frame as lists, None for what is missing."""
    if hasattr(frame, "rows"):
        return [list(row) for row in frame.rows()]
    objects = frame.astype(object)
    return objects.where(frame.notna(), None).values.tolist()


def types_of(frame):
    return list(frame.dtypes) if hasattr(frame, "iloc") else list(frame.schema.values())


@pytest.mark.parametrize("name", FRAMES)
def test_swapped_columns_of_frames_keep_types_and_missing_values(name):
    frame = FRAMES[name]
    swapped = np.random.RandomState(0).uniform(size=(4, frame.shape[1])) < 0.5
    made = swap_columns(frame, FIRST, SECOND, swapped)
    own = as_lists(frame)
    expected = [
        [own[b if swap else a][j] for j, swap in enumerate(mask)]
        for a, b, mask in zip(FIRST, SECOND, swapped, strict=True)
    ]
    assert as_lists(made) == expected
    assert types_of(made) == types_of(frame)
    assert list(made.columns) == list(frame.columns)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u1", "i8", "bool", "O", "g"])
def test_swapped_columns_of_arrays_keep_their_type(dtype):
    X = np.arange(6).reshape(3, 2).astype(dtype)
    made = swap_columns(X, FIRST, SECOND, np.array([[True, False]] * 4))
    assert_array_equal(made, np.column_stack([X[SECOND, 0], X[FIRST, 1]]))
    assert made.dtype.kind == X.dtype.kind
    assert made.dtype.itemsize == X.dtype.itemsize


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_swapped_columns_of_sparse_rows_are_those_of_dense_ones(make):
    rng = np.random.RandomState(0)
    dense = rng.uniform(size=(30, 8)) * (rng.uniform(size=(30, 8)) < 0.3)
    first, second = rng.randint(30, size=(2, 2500))
    swapped = rng.uniform(size=(2500, 8)) < 0.5
    made = swap_columns(make(dense), first, second, swapped)
    assert sparse.issparse(made)
    assert_array_equal(made.toarray(), swap_columns(dense, first, second, swapped))


@pytest.mark.parametrize("name", FRAMES)
def test_numbers_are_replaced_in_their_type_and_nan_leaves_them(name):
    frame = FRAMES[name]
    columns = number_columns(frame)
    assert len(columns) == 2
    numbers = numbers_of(frame, columns) + 1.4
    numbers[0] = np.nan
    made = with_numbers(frame, columns, numbers)
    assert types_of(made) == types_of(frame)
    expected, found = numbers_of(frame, columns), numbers_of(made, columns)
    expected[1:] += [1, 1.4]  # the first column holds integers
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    others = [j for j in range(frame.shape[1]) if j not in columns]
    assert [[row[j] for j in others] for row in as_lists(made)] == [
        [row[j] for j in others] for row in as_lists(frame)
    ]


def test_integer_arrays_stay_integers_within_their_range():
    X = np.array([[250, 3]], dtype=np.uint8)
    assert with_numbers(X, np.arange(2), np.array([[300.0, 3.6]])).tolist() == [[255, 4]]
    assert with_numbers(X, np.arange(2), np.array([[300.0, 3.6]])).dtype == np.uint8


@pytest.mark.parametrize("name", FRAMES)
def test_rows_are_taken_by_number_and_by_mask(name):
    frame = FRAMES[name]
    own = as_lists(frame)
    assert as_lists(take(frame, np.array([2, 0]))) == [own[2], own[0]]
    assert as_lists(take(frame, np.array([False, True, True]))) == own[1:]


@pytest.mark.parametrize("name", FRAMES)
def test_joined_frames_match_columns_by_name_and_keep_types(name):
    frame = FRAMES[name]
    turned = frame[list(frame.columns)[::-1]]
    joined = concatenate(frame, turned)
    assert as_lists(joined) == as_lists(frame) * 2
    assert types_of(joined) == types_of(frame)


def test_joined_categories_are_those_of_both():
    one = pd.DataFrame({"kind": pd.Categorical(["a", "b"])})
    other = pd.DataFrame({"kind": pd.Categorical(["c", "a"])})
    assert as_lists(concatenate(one, other)) == [["a"], ["b"], ["c"], ["a"]]


def test_containers_of_two_kinds_are_not_joined():
    with pytest.raises(TypeError, match="one kind; got DataFrame and ndarray"):
        concatenate(CLASSIC, np.zeros((2, 6)))


def test_lists_of_mixed_rows_keep_their_values():
    assert as_container([[1, "a"], [2.5, None]]).tolist() == [[1, "a"], [2.5, None]]
    assert as_container([[1, 2], [3, 4]]).dtype.kind == "i"
    assert as_container(["one", "two"]).tolist() == ["one", "two"]


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
def test_columns_of_sparse_rows_are_mapped_a_part_at_a_time(make, monkeypatch):
    monkeypatch.setattr(containers, "DENSE_ENTRIES", 8)
    dense = sparse.random(4, 5, density=0.5, random_state=0).toarray()
    mapped = map_sparse_columns(make(dense), lambda columns: columns[::2] / 2)
    assert type(mapped) is make
    assert_array_equal(mapped.toarray(), dense[::2] / 2)


@pytest.mark.parametrize(
    ("make", "make_other"),
    [
        (sparse.csr_matrix, np.asarray),
        (sparse.csc_array, pd.DataFrame),
        (np.asarray, sparse.csr_matrix),
        (lambda X: pd.DataFrame(X, columns=["a", "b"]), sparse.csr_array),
    ],
)
def test_further_rows_take_the_container_of_the_first(make, make_other):
    X = np.array([[1.0, 0.0], [0.0, 2.0]])
    rows = make(X)
    further = containers.in_container_of(rows, make_other(X))
    assert type(further) is type(rows)
    joined = containers.concatenate(rows, further)
    joined = joined.toarray() if sparse.issparse(joined) else np.asarray(joined)
    assert_array_equal(joined, np.concatenate([X, X]))


def test_a_frame_without_names_is_joined_by_position():
    X = np.arange(6.0).reshape(3, 2)
    joined = concatenate(pd.DataFrame(X, columns=["a", "b"]), pd.DataFrame(X + 10))
    assert list(joined.columns) == ["a", "b"]
    assert_array_equal(joined, np.concatenate([X, X + 10]))
