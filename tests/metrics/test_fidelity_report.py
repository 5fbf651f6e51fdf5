import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris, make_friedman1
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_dlf import DLFClassifier, DLFRegressor
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions
from sklearn_dlf.exceptions import SeenRowsWarning
from sklearn_dlf.metrics import (
    FidelityReport,
    expected_calibration_error,
    interval_coverage,
    member_fidelity,
    mutual_information,
    neg_nll_scorer,
)
from sklearn_dlf.metrics._report.calibration import Calibration
from sklearn_dlf.metrics._report.ceilings import agreement_of_halves, noise_of_mean, pearson
from sklearn_dlf.metrics._report.comparison import Comparison
from sklearn_dlf.metrics._report.row_covariance import of_draws

QUICK = {
    "q": 2,
    "hidden_layer_sizes": (8,),
    "n_epochs": 4,
    "tol": 0.1,
    "augment": None,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fresh():
    """Rows of the problem of `friedman` that no member has seen."""
    return make_friedman1(80, noise=1.0, random_state=1)


@pytest.fixture(scope="module")
def report(student, forest, fresh):
    return FidelityReport.from_estimator(student, forest, *fresh)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def trees(iris):
    X, y = iris
    return RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(X[::2], y[::2])


@pytest.fixture(scope="module")
def student_of_trees(iris, trees):
    X, y = iris
    return DLFClassifier(**QUICK).fit(X[::2], y[::2], ensemble=trees)


@pytest.fixture(scope="module")
def process():
    """Draws of one process at 60 rows: 40 members, and 1,000 further draws."""
    rng = np.random.RandomState(0)
    loadings = rng.standard_normal((60, 2)) + 1
    scale = 3 * rng.standard_normal(60)

    def draw(n):
        return (scale[:, None] + loadings @ rng.standard_normal((2, n)))[:, None]

    return scale, np.sqrt((loadings**2).sum(axis=1)), draw(40), draw(1000)


def compare(mean, std, members, draws):
    """Report of a student that is given by its moments and draws."""
    comparison = Comparison(
        "regressor",
        members,
        mean[:, None],
        std[:, None],
        members.std(axis=-1, ddof=1),
        np.arange(len(mean)),
        [of_draws(draws, np.random.RandomState(0))],
        None,
    )
    return FidelityReport("Student", comparison, Calibration(), np.array([0.9]), [])


def check_named(report, start):
    return next(check for check in report.checks if check.name.startswith(start))


def test_scores_of_mean_and_spread_are_those_of_member_fidelity(report, student, forest, fresh):
    members = member_predictions(forest, fresh[0])
    fidelity = member_fidelity(members, *student.predict(fresh[0], return_std=True))
    scores = report.mean_error, report.spread_ratio, report.spread_correlation
    assert_allclose(scores, (fidelity.mean_error, fidelity.std_ratio, fidelity.std_correlation))


def test_calibration_is_that_of_the_students_intervals(report, student, fresh):
    X, y = fresh
    expected = [interval_coverage(y, student.predict_interval(X, level)) for level in report.levels]
    assert_allclose(report.coverage, expected)
    assert_allclose(report.nll, -neg_nll_scorer(student, X, y))


def test_halves_of_members_differ_by_the_root_of_two_times_the_noise_of_the_mean():
    rng = np.random.RandomState(0)
    members = rng.standard_normal((5, 1, 12))
    squares = []
    for _ in range(4000):
        left, right = np.split(rng.permutation(12), 2)
        means = members[..., left].mean(axis=-1) - members[..., right].mean(axis=-1)
        squares.append(np.mean(means**2))
    # 4,000 halvings know the mean square to about 1 %.
    assert_allclose(np.sqrt(np.mean(squares) / 2), noise_of_mean(members), rtol=0.02)


def test_ceiling_is_the_correlation_with_infinitely_many_members():
    rng = np.random.RandomState(0)
    truth = rng.standard_normal(4000)
    members = truth[:, None] + 4 * rng.standard_normal((4000, 16))
    halves = agreement_of_halves(members, lambda m: m.mean(axis=-1), pearson, rng)
    assert_allclose(halves.ceiling, 0.5**0.5, atol=0.02)  # the mean's noise is as large as it
    assert_allclose(halves.ceiling, pearson(members.mean(axis=-1), truth), atol=0.02)
    assert_allclose(halves.square, 1.0, rtol=0.05)


def test_the_process_of_the_members_is_a_faithful_student(process):
    report = compare(*process)
    assert report.verdict == "faithful"
    assert_allclose(report.covariance_ratio, 1.0, atol=0.2)  # 40 members know it to about 0.16
    assert report.mean_error < 1.5 * report.mean_noise


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        (lambda mean, std, draws: (mean + 5, std, draws), "error of the mean"),
        (lambda mean, std, draws: (mean, std / 2, draws), "spread, student"),
        (lambda mean, std, draws: (mean, std[::-1], draws), "correlation of the spread"),
        (lambda mean, std, draws: (mean, std, draws * 0.3), "covariances over rows, student"),
        (lambda mean, std, draws: (mean, std, draws[::-1]), "correlation of covariances"),
    ],
)
def test_each_fault_alone_makes_a_student_unfaithful(process, change, culprit):
    mean, std, members, draws = process
    mean, std, draws = change(mean, std, draws)
    report = compare(mean, std, members, draws)
    assert report.verdict == "not faithful"
    assert check_named(report, culprit).grade == "poor"
    assert culprit in report.reason
    is_of_pairs = "covariances" in culprit
    assert ("mean and spread of single rows alone: faithful" in report.reason) == is_of_pairs


def test_covariances_of_a_regressor_are_exact(report, student, fresh):
    _, covariance = student.predict(fresh[0], return_cov=True)
    compared = report.comparison.covariances[0]
    assert_allclose(compared.values, covariance[np.triu_indices(len(covariance), 1)])
    assert_allclose(compared.sum_std, covariance.mean() ** 0.5)
    assert compared.reliability == 1


def test_the_noise_of_draws_does_not_lower_the_correlation_of_covariances():
    rng = np.random.RandomState(0)
    loadings = 0.2 * rng.standard_normal((100, 2))

    def draw(n):
        noise = rng.standard_normal((100, n))
        return (loadings @ rng.standard_normal((2, n)) + noise)[:, None]

    members = draw(5_000)
    exact = compare(np.arange(100), np.ones(100), members, draw(20_000)).covariance_correlation
    few = draw(1000)
    noisy = pearson(of_draws(few, rng).values, of_draws(members, rng).values)
    corrected = compare(np.arange(100), np.ones(100), members, few).covariance_correlation
    assert exact > 0.9
    assert noisy < exact - 0.05
    assert_allclose(corrected, exact, atol=0.03)


def test_sums_over_rows_that_are_too_certain_make_a_student_unfaithful(process):
    mean, _, _, _ = process
    rng = np.random.RandomState(0)
    members = mean[:, None, None] + rng.standard_normal((len(mean), 1, 100))
    members += 0.5 * rng.standard_normal(100)
    std = members.std(axis=-1, ddof=1)[:, 0]
    draws = mean[:, None, None] + 1.04 * rng.standard_normal((len(mean), 1, 400))
    report = compare(mean, std, members, draws)
    assert report.sum_ratio < 0.4
    assert check_named(report, "spread of sums").grade == "poor"
    assert "spread of sums" in report.reason


def test_an_error_of_the_mean_within_the_noise_of_few_members_is_good(process):
    mean, std, _, draws = process
    members = mean[:, None, None] + 8 * np.random.RandomState(0).standard_normal((60, 1, 5))
    report = compare(mean, std, members, draws)
    assert report.mean_error > 0.5
    assert check_named(report, "error of the mean").grade == "good"


def test_spreads_that_are_alike_are_good_whatever_their_correlation(process):
    mean, _, _, draws = process
    members = mean[:, None, None] + np.random.RandomState(0).standard_normal((60, 1, 600))
    std = members.std(axis=-1, ddof=1)[:, 0]
    report = compare(mean, std[::-1], members, draws)
    assert report.spread_correlation < 0.5
    assert check_named(report, "correlation of the spread").grade == "good"


def test_three_members_have_no_ceilings(process):
    mean, std, members, draws = process
    report = compare(mean, std, members[..., :3], draws)
    assert np.isnan([report.spread_ceiling, report.covariance_ceiling]).all()
    assert check_named(report, "correlation of the spread").grade == "unknown"


def test_the_reason_names_what_is_not_known_beside_what_is_poor(process):
    mean, std, members, draws = process
    report = compare(mean + 5, std, members[..., :3], draws)
    assert report.verdict == "not faithful"
    culprit, unknown = report.reason.split("; not known: ")
    assert "error of the mean (std over rows)" in culprit
    assert "correlation of the spread over rows" in unknown


def test_members_that_agree_everywhere_give_a_report(process):
    mean, std, members, draws = process
    report = compare(mean, 0 * std, 0 * members, 0 * draws)
    assert report.verdict == "unknown"
    assert report.worst_mean_rows.size == 0
    assert "unknown" in str(report)


def test_worst_rows_are_those_with_the_largest_errors(process):
    mean, std, members, draws = process
    mean, std = members.mean(axis=-1)[:, 0], members.std(axis=-1, ddof=1)[:, 0]
    mean[7] += 4
    std[9] -= 0.9
    report = compare(mean, std, members, draws)
    assert report.worst_mean_rows[0] == 7
    assert report.worst_spread_rows[0] == 9
    unit = members.mean(axis=-1).std(), members.std(axis=-1, ddof=1).mean()
    assert_allclose(report.mean_errors[7], 4 / unit[0])
    assert_allclose(report.spread_errors[9], -0.9 / unit[1])
    assert "row 7 (+" in str(report)


def test_classifiers_have_calibration_errors_of_both_and_mutual_information(
    iris, trees, student_of_trees
):
    X, y = iris[0][1::2], iris[1][1::2]
    report = FidelityReport.from_estimator(student_of_trees, trees, X, y)
    members = member_predictions(trees, X)
    codes = np.searchsorted(["a", "b", "c"], y)
    assert_allclose(
        report.ece, expected_calibration_error(codes, student_of_trees.predict_proba(X))
    )
    assert_allclose(report.teacher_ece, expected_calibration_error(codes, members.mean(axis=-1)))
    epistemic = student_of_trees.predict_uncertainty(X).epistemic
    assert_allclose(report.spread_ratio, epistemic.mean() / mutual_information(members).mean())
    assert report.student_mean.shape == (75, 3)
    assert report.coverage is None


def test_a_rare_class_that_is_less_probable_than_the_teachers_is_told(iris, trees):
    X = iris[0][1::2]
    members = member_predictions(trees, X)
    rare = np.concatenate([members[:, :1] * 0.05, 1 - members[:, :1] * 0.05], axis=1)
    mean = rare.mean(axis=-1)
    mean[:, 0] *= 0.8
    mean[:, 1] = 1 - mean[:, 0]
    comparison = Comparison(
        "classifier",
        rare,
        mean,
        np.full((75, 1), 0.1),
        np.full((75, 1), 0.1),
        np.arange(75),
        [of_draws(rare, np.random.RandomState(0))],
        np.array(["rare", "common"]),
    )
    report = FidelityReport("Student", comparison, Calibration(), np.array([0.9]), [])
    assert_allclose(report.class_ratio[0], 0.8)
    check = check_named(report, "mean probability of class rare")
    assert (check.value, check.grade) == (report.class_ratio[0], "poor")
    assert 1 < check.reference < 1.1
    assert "mean probability of class rare, student / teacher" in str(report)


def test_columns_of_a_teacher_are_put_into_the_students_order(iris, trees, student_of_trees):
    X = iris[0][1::2]
    members = member_predictions(trees, X)
    turned = FittedEnsemble(
        lambda rows: member_predictions(trees, rows)[:, [2, 0, 1]],
        outputs="probabilities",
        classes=["c", "a", "b"],
        n_members=20,
    )
    report = FidelityReport.from_estimator(student_of_trees, turned, X)
    assert_allclose(report.teacher_mean, members.mean(axis=-1), atol=1e-6)


def test_predictions_take_the_place_of_an_ensemble(report, student, forest, fresh):
    predictions = member_predictions(forest, fresh[0])
    other = FidelityReport.from_estimator(student, None, *fresh, predictions=predictions)
    assert str(other) == str(report)
    members = list(predictions.T)
    of_list = FidelityReport.from_estimator(student, None, *fresh, predictions=members)
    assert str(of_list) == str(report)


def test_few_rows_and_members_have_no_grade_of_correlations(student, forest, fresh):
    X, y = fresh
    of_rows = FidelityReport.from_estimator(student, forest, X[:2], y[:2])
    members = member_predictions(forest, X)[:, :3]
    of_members = FidelityReport.from_estimator(student, None, X, y, predictions=members)
    for report, note in ((of_rows, "Fewer than 30 rows"), (of_members, "Fewer than 4 members")):
        assert check_named(report, "correlation of covariances").grade == "unknown"
        assert np.isnan(report.spread_ceiling)
        assert any(note in each for each in report.notes)


def test_students_are_found_in_pipelines_and_teachers_get_their_own_rows(friedman, forest, fresh):
    pipeline = make_pipeline(MinMaxScaler(), DLFRegressor(**QUICK))
    X, y = friedman
    pipeline.fit(X, y, dlfregressor__ensemble=forest, dlfregressor__X_ensemble=X)
    whole = FidelityReport.from_estimator(pipeline, forest, *fresh)
    rows = pipeline[0].transform(fresh[0])
    inner = FidelityReport.from_estimator(pipeline[1], forest, rows, fresh[1], X_ensemble=fresh[0])
    back = FidelityReport.from_estimator(
        pipeline[1], forest, rows, fresh[1], X_ensemble=pipeline[0].inverse_transform
    )
    assert [whole.checks[0], back.checks[0]] == [inner.checks[0]] * 2
    assert whole.name == "Pipeline"


def test_a_transformed_target_is_compared_in_units_of_y(friedman, fresh):
    X, y = friedman
    model = TransformedTargetRegressor(
        DLFRegressor(RandomForestRegressor(10, random_state=0), **QUICK),
        transformer=StandardScaler(),
    ).fit(X, 100 * y)
    teacher = RandomForestRegressor(10, random_state=0).fit(X, 100 * y)
    report = FidelityReport.from_estimator(model, teacher, fresh[0], 100 * fresh[1])
    assert report.mean_error < 0.6
    assert report.nll is None
    assert any("density" in note for note in report.notes)


def test_several_outputs_have_scores_each_and_the_worst_is_named(two_outputs):
    data = two_outputs
    student = DLFRegressor(**QUICK).fit(data.X, data.y, predictions=data.predictions, unseen=True)
    wrong = data.predictions.copy()
    wrong[:, 1] += 50
    report = FidelityReport.from_estimator(student, None, data.X, data.y, predictions=wrong)
    assert report.mean_error.shape == (2,)
    assert report.coverage.shape == (4, 2)
    assert report.checks[0].name.endswith("[output 1]")
    assert report.verdict == "not faithful"


def test_rows_that_members_have_seen_are_told(friedman, forest, student):
    with pytest.warns(SeenRowsWarning, match="They seem to be the same rows"):
        report = FidelityReport.from_estimator(student, forest, *friedman)
    assert "They seem to be the same rows" in report.notes[-1]
    report = FidelityReport.from_estimator(student, forest, friedman[0])
    assert "If they are the same rows" in report.notes[-1]


def test_a_value_whose_square_overflows_gives_a_report(friedman, forest):
    X, y = friedman
    student = DLFRegressor(forest, **QUICK).fit(X)
    y = np.where(np.arange(len(y)) == 0, -1e300, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", SeenRowsWarning)
        report = FidelityReport.from_estimator(student, forest, X, y)
    assert any("the same rows" in note for note in report.notes)


def test_as_many_fresh_rows_as_those_of_the_fit_give_no_warning(forest, student):
    X, y = make_friedman1(200, noise=1.0, random_state=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = FidelityReport.from_estimator(student, forest, X, y)
    assert report.notes == []


def test_a_level_of_y_that_the_ensemble_does_not_have_is_noted(forest, student, fresh):
    X, y = fresh
    report = FidelityReport.from_estimator(student, forest, X, y + 2)
    [note] = [each for each in report.notes if "mean of y" in each]
    assert f"is {np.mean(y + 2):.3g} at these rows" in note
    assert f"ensemble's {forest.predict(X).mean():.3g}, " in note


def test_a_frequency_that_the_ensemble_does_not_have_is_noted():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 3))
    y = np.where(X[:, 0] + rng.standard_normal(300) > 1.5, "rare", "common")
    balanced = RandomForestClassifier(20, class_weight="balanced", max_depth=3, random_state=0)
    student = DLFClassifier(**QUICK, refine=False).fit(X, y, ensemble=balanced.fit(X, y))
    report = FidelityReport.from_estimator(student, balanced, X[:290], y[:290])
    assert any("frequency of class" in each for each in report.notes)


def test_a_student_without_noise_of_y_has_no_calibration(known):
    student = DLFRegressor(**QUICK).fit(known.X, predictions=known.predictions)
    report = FidelityReport.from_estimator(
        student, None, known.X, known.y, predictions=known.predictions
    )
    assert report.coverage is None
    assert "fitted without y" in report.notes[0]


def test_the_same_random_state_gives_the_same_report(report, student, forest, fresh):
    again = FidelityReport.from_estimator(student, forest, *fresh)
    assert str(again) == str(report)


def test_text_has_verdict_scores_and_notes(known):
    student = DLFRegressor(**QUICK).fit(known.X, predictions=known.predictions)
    few = slice(0, 20)
    report = FidelityReport.from_estimator(
        student, None, known.X[few], predictions=known.predictions[few]
    )
    text = str(report)
    assert f"Verdict: {report.verdict}" in text
    assert f"{report.mean_error:.3g}" in text
    assert "Note: Fewer than 30 rows" in text
    assert repr(report).startswith("FidelityReport(DLFRegressor, regressor, n_samples=20")


def test_page_has_the_scores_and_escapes_names(report, process):
    page = report._repr_html_()
    assert all(check.name in page for check in report.checks)
    pytest.importorskip("matplotlib")
    assert len(re.findall("<img", page)) == 1
    other = compare(*process)
    other.name = "<script>"
    assert "<script>" not in other._repr_html_()


def test_figure_has_six_panels_of_all_kinds(report, iris, trees, student_of_trees, process):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    X, y = iris[0][1::2], iris[1][1::2]
    of_classes = FidelityReport.from_estimator(student_of_trees, trees, X, y)
    for each in (report, of_classes, compare(*process)):
        figure = each.plot(Figure())
        figure.draw_without_rendering()
        assert len(figure.axes) == 6
    points = report.plot(Figure()).axes[1].collections[0].get_offsets()
    assert_array_equal(points, np.c_[report.teacher_spread, report.student_spread])


def labels_of_legend(ax):
    return [] if ax.get_legend() is None else [each.get_text() for each in ax.get_legend().texts]


def test_marks_of_the_worst_rows_are_explained(report, process):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = report.plot(Figure()).axes
    assert [labels_of_legend(axes[panel]) for panel in (0, 1, 4)] == [
        ["rows of largest errors"]
    ] * 3
    mean, std, members, draws = process
    agreed = compare(mean, 0 * std, 0 * members, 0 * draws).plot(Figure())
    assert [labels_of_legend(agreed.axes[panel]) for panel in (0, 1, 4)] == [[]] * 3


def test_outputs_of_different_units_are_drawn_in_their_own(two_outputs):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    data, size = two_outputs, np.array([1.0, 1000.0])
    members = data.predictions * size[:, None]
    student = DLFRegressor(**QUICK).fit(data.X, predictions=members)
    report = FidelityReport.from_estimator(student, None, data.X, predictions=members)
    for panel in range(3):
        ax = report.plot(Figure()).axes[panel]
        first, second = (each.get_offsets()[:, 0] for each in ax.collections[:2])
        assert 0.2 < np.std(first) / np.std(second) < 5
        assert "(" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"X": np.ones((1, 10))}, "at least two rows.*got 1"),
        ({"levels": [0.5, 1.0]}, "strictly between 0 and 1"),
        ({"predictions": np.ones((80, 3))}, "Both `ensemble` and `predictions`"),
        ({"y": np.ones(79)}, "80 rows of X"),
        ({"X_ensemble": np.ones((79, 10))}, "79 rows and X has 80"),
        ({"ensemble": None}, "Neither `ensemble` nor `predictions`"),
        ({"ensemble": None, "predictions": np.ones(80)}, r"predictions must have shape.*\(80,\)"),
        ({"ensemble": None, "predictions": np.ones((80, 1))}, "at least 2 members"),
        (
            {"ensemble": None, "predictions": np.ones((80, 2, 3))},
            "2 outputs, and the student has 1",
        ),
    ],
)
def test_arguments_that_cannot_be_compared_are_refused(student, forest, fresh, arguments, match):
    given = {"ensemble": forest, "X": fresh[0], **arguments}
    with pytest.raises(ValueError, match=match):
        FidelityReport.from_estimator(student, **given)


def test_other_kinds_and_estimators_without_a_student_are_refused(
    student, forest, trees, student_of_trees, fresh, iris
):
    with pytest.raises(ValueError, match="one of classifiers, and the student is a regressor"):
        FidelityReport.from_estimator(student, trees, iris[0])
    with pytest.raises(TypeError, match="No student was found"):
        FidelityReport.from_estimator(LinearRegression().fit(*fresh), forest, *fresh)
    with pytest.raises(NotFittedError):
        FidelityReport.from_estimator(DLFRegressor(), forest, *fresh)
    with pytest.raises(ValueError, match=r"labels \['z'\]"):
        FidelityReport.from_estimator(student_of_trees, trees, iris[0], ["z"] * 150)
    with pytest.raises(ValueError, match="missing labels"):
        FidelityReport.from_estimator(student_of_trees, trees, iris[0], [None, *iris[1][1:]])


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([["a"], ["a", "b"]], "y must hold as many values"),
        (np.zeros((150, 2)), "y must have one label"),
        (3, "y must have one label"),
    ],
)
def test_labels_of_another_shape_are_refused(student_of_trees, trees, iris, labels, match):
    with pytest.raises(ValueError, match=match):
        FidelityReport.from_estimator(student_of_trees, trees, iris[0], labels)
