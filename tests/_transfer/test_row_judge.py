import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dlf._rows.table import Table
from sklearn_dlf._transfer import row_judge
from sklearn_dlf._transfer.row_judge import Likeness

N = 600


def judge_of(X, outputs, unseen, seed):
    return row_judge.RowJudge(Table(X), lambda table: outputs(table.numbers), unseen, seed)


def rng(seed=0):
    return np.random.RandomState(seed)


def members_that_differ(spread):
    """Return members whose standard deviation at a row is what ``spread`` says."""
    signs = np.where(np.arange(20) % 2, 1.0, -1.0)

    def outputs(X):
        return X[:, :1, None] + spread(X)[:, None, None] * signs

    return outputs


def free_rows():
    return rng().standard_normal((N, 4))


def curve():
    position = rng().uniform(-1, 1, size=N)
    return np.column_stack([position, position**2, position**3, np.sin(3 * position)])


def one(X):
    return np.ones(len(X))


def off_curve(X):
    """Distance of the second column from the curve, and a little spread everywhere."""
    return 0.001 + np.abs(X[:, 1] - X[:, 0] ** 2)


@pytest.mark.parametrize("augment", ["neighbors", "local", "near_neighbors", "mixup"])
def test_rows_made_of_free_columns_are_like_the_data(augment):
    likeness = judge_of(free_rows(), members_that_differ(one), None, 0).judge(augment)
    assert likeness.holds()
    assert 0.8 < likeness.distance < 1.2


def test_swaps_off_a_curve_lie_far_although_members_do_not_say_so():
    judge = judge_of(curve(), members_that_differ(one), None, 0)
    assert judge.judge("neighbors").distance > 1.5
    assert not judge.judge("neighbors").holds()
    assert judge.judge("local").holds()


def test_swaps_off_a_curve_have_a_spread_that_the_data_have_not():
    judge = judge_of(curve(), members_that_differ(off_curve), None, 0)
    assert judge.judge("neighbors").mean > 2
    assert judge.judge("local").mean < 1.25


def test_a_few_rows_of_enormous_spread_are_seen():
    def spread(X):  # at 5 % of the rows that a callable makes
        return np.where(X[:, 3] > 100, 1000.0, 1.0)

    def made(X, n_rows, random_state):
        rows = X[random_state.randint(len(X), size=n_rows)]
        rows[: n_rows // 20, 3] = 101
        return rows

    likeness = judge_of(free_rows(), members_that_differ(spread), None, 0).judge(made)
    assert likeness.mean > 10
    assert likeness.decile < 1.2


def test_spread_is_compared_with_that_of_members_that_did_not_see_the_row():
    X = free_rows()
    unseen = rng(1).uniform(size=(N, 20)) < 0.3
    known = {row.tobytes(): record for row, record in zip(X, unseen, strict=True)}
    normal = rng(2).standard_normal((1, 20))

    def outputs(rows):  # members that saw a row differ a third as much there
        seen = np.array([~known.get(row.tobytes(), np.ones(20, bool)) for row in rows])
        return np.where(seen, normal / 3, normal)[:, None] * np.ones((len(rows), 1, 1))

    def fresh(X, n_rows, random_state):
        return rng(3).standard_normal((n_rows, 4))

    likeness = judge_of(X, outputs, unseen, 0).judge(fresh)
    assert_allclose(likeness.mean, 1.0, rtol=0.05)


def test_rows_that_every_member_saw_do_not_count_as_the_data():
    X = free_rows()
    seen = np.arange(N) < 0.8 * N
    known = {row.tobytes() for row in X[seen]}

    def spread(rows):  # members interpolate what they saw
        return np.where([row.tobytes() in known for row in rows], 1e-3, 1.0)

    unseen = np.repeat(~seen[:, None], 20, axis=1)
    likeness = judge_of(X, members_that_differ(spread), unseen, 0).judge("neighbors")
    assert 0.8 < likeness.mean < 1.2  # a sixteenth of the made rows are copies
    assert likeness.decile == pytest.approx(1)


def test_without_a_record_rows_that_members_interpolate_set_no_limit():
    X = free_rows()
    own = {row.tobytes() for row in X}

    def spread(rows):  # as of full-grown trees, which agree at the rows of their fit
        return np.array([0.0 if row.tobytes() in own else 1.0 for row in rows])

    assert judge_of(X, members_that_differ(spread), None, 0).judge("neighbors").holds()


def test_members_that_agree_leave_the_distance_as_the_only_judge():
    outputs = members_that_differ(lambda X: np.zeros(len(X)))
    assert judge_of(free_rows(), outputs, None, 0).judge("neighbors").holds()
    assert not judge_of(curve(), outputs, None, 0).judge("neighbors").holds()


def test_duplicates_and_codes_have_no_distance_to_compare():
    X = rng().randint(2, size=(N, 3)).astype(float)
    assert judge_of(X, members_that_differ(one), None, 0).judge("neighbors").distance == 1


def test_units_of_columns_and_outputs_do_not_matter():
    X = curve()
    judged = judge_of(X, members_that_differ(off_curve), None, 0).judge("local")

    def outputs(rows):
        return 1e6 * members_that_differ(off_curve)(rows / [1e-9, 1, 1e9, 1])

    scaled = judge_of(X * [1e-9, 1, 1e9, 1], outputs, None, 0).judge("local")
    assert_allclose(scaled, judged, rtol=1e-6)


def test_leniency_multiplies_every_limit():
    assert Likeness(2.0, 2.0, 2.0).holds(leniency=2.0)
    assert not Likeness(2.0, 1.0, 1.0).holds()
    assert not Likeness(1.0, 2.0, 1.0).holds()
    assert not Likeness(1.0, 1.0, 2.0).holds()
