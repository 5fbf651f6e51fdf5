import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._network.bodies import make_body
from sklearn_dlf._network.encodings import PiecewiseLinearEncoding, choose_edges
from sklearn_dlf._network.frozen import FrozenMLP
from sklearn_dlf._network.students import StudentNetwork

EDGES = [np.array([-1.0, 0.0, 2.0]), np.array([]), np.array([0.0, 4.0])]


def encode(*rows):
    return PiecewiseLinearEncoding(EDGES)(torch.tensor(rows, dtype=torch.float32)).numpy()


def rng():
    return np.random.RandomState(0)


def edges_of(X, mean=None, variance=None, weights=None, n_units=100):
    """Edges for a mean and a variance that are constant, unless they are given."""
    ones = np.ones((len(X), 1))
    mean = 0 * ones if mean is None else mean.reshape(len(X), -1)
    variance = ones if variance is None else variance.reshape(len(X), -1)
    weights = np.ones(len(X)) if weights is None else weights
    return choose_edges(X.astype(np.float32), mean, variance, weights, n_units)


def test_bins_are_minus_one_below_one_above_and_linear_in_between():
    assert_allclose(encode([-0.5, 9.0, 1.0], [1.0, 9.0, 3.0]), [[0, -1, -0.5], [1, 0, 0.5]])


def test_values_beyond_all_edges_are_encoded_as_the_nearest_edge():
    assert_array_equal(encode([-1e20, 0, 1e20]), encode([-1.0, 0, 4.0]))


def test_encoding_leaves_rows_as_they_are_and_has_derivatives():
    rows = torch.tensor([[-0.5, 9.0, 1.0]])
    PiecewiseLinearEncoding(EDGES)(rows)
    assert_array_equal(rows, [[-0.5, 9.0, 1.0]])
    rows.requires_grad_()
    PiecewiseLinearEncoding(EDGES)(rows).sum().backward()
    assert_allclose(rows.grad, [[2.0, 0.0, 0.5]])


def test_narrow_bins_far_from_zero_are_not_rounded_away():
    low = np.float32(1000.0)
    width = 64 * np.spacing(low)
    encoding = PiecewiseLinearEncoding([np.array([low, low + width])])
    assert encoding(torch.tensor([[low + width / 4]])).item() == -0.5


@pytest.mark.parametrize("activation", ["auto", "swish", "tanh"])
def test_a_frozen_student_with_an_encoding_is_the_same_function(activation):
    torch.manual_seed(0)
    body = make_body(None, 3, (6, 4), activation, EDGES)
    student = StudentNetwork(body, 3, n_outputs=2, q=5).eval()
    X = 2 * rng().standard_normal((20, 3))
    wanted = student.double().evaluate(X)
    student.float()
    for exact, rtol in ((True, 1e-6), (False, 1e-4)):
        frozen = student.frozen(exact)
        assert isinstance(frozen.body, FrozenMLP)
        for head, expected in zip(frozen.evaluate(X)[:3], wanted[:3], strict=True):
            assert_allclose(head, expected, rtol=rtol, atol=rtol)


def test_few_values_are_the_edges_and_two_values_have_one_bin():
    X = np.column_stack([rng().randint(0, 2, 500), rng().randint(0, 5, 500), rng().rand(500)])
    binary, five, continuous = edges_of(X)
    assert_array_equal(binary, [0, 1])
    assert_array_equal(five, range(5))
    assert len(continuous) > 40


def test_a_constant_column_has_no_bins():
    X = np.column_stack([np.full(100, 3.0), rng().rand(100)])
    assert len(edges_of(X)[0]) == 0


def test_edges_span_the_rows_that_have_weight():
    X = np.append(rng().rand(200), 50.0)[:, None]
    weights = np.append(np.ones(200), 0.0)
    (edges,) = edges_of(X, weights=weights)
    assert edges[0] == X[:-1].astype(np.float32).min()
    assert edges[-1] == X[:-1].astype(np.float32).max()


@pytest.mark.parametrize("of", ["mean", "variance"])
def test_columns_on_which_members_depend_have_more_bins(of):
    X = rng().rand(2000, 4)
    counts = [len(edges) for edges in edges_of(X, **{of: 1 + np.floor(40 * X[:, 2])})]
    assert counts[2] > 1.5 * max(counts[:2])


@pytest.mark.parametrize("n_features", [1, 4, 13, 60])
def test_the_default_student_has_at_most_96_kib(n_features):
    X = rng().standard_normal((1000, n_features))
    mean, variance = X[:, 0] + np.sin(9 * X[:, -1]), np.exp(X[:, -1])
    body = make_body(None, n_features, (100, 100), "auto", edges_of(X, mean, variance))
    network = StudentNetwork(body, n_features, n_outputs=1, q=10)
    numbers = [*network.parameters(), body.encoding.centre, body.encoding.slope]
    assert 15_000 < sum(part.numel() for part in numbers) <= 24_576


def test_many_columns_have_two_bins_on_average_whatever_the_size():
    X = rng().standard_normal((2000, 200))
    n_bins = sum(len(edges) - 1 for edges in edges_of(X, mean=X[:, 0] * X[:, 1]))
    assert 350 <= n_bins <= 400


def test_edges_too_close_for_float32_are_joined():
    X = 1e6 + np.arange(50)[:, None] / 16  # the spacing of float32 there
    (edges,) = edges_of(X)
    assert (np.diff(edges) >= 0.5).all()
