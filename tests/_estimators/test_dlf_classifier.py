import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import rel_entr, softmax
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import cross_val_predict

from sklearn_dlf import DLFClassifier
from sklearn_dlf.ensembles import FittedEnsemble, member_predictions

SMALL = {"q": 3, "hidden_layer_sizes": (20,), "n_epochs": 3, "tol": 0.05, "random_state": 0}
# For claims that do not depend on how well the student is fitted.
QUICK = {"q": 2, "hidden_layer_sizes": (8,), "n_epochs": 1, "tol": 1.0, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def forest(iris):
    return RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(*iris)


@pytest.fixture(scope="module")
def student(iris, forest):
    return DLFClassifier(**SMALL).fit(*iris, ensemble=forest)


def binary(labels):
    X, y = make_classification(150, 4, random_state=0)
    return X, np.array(labels)[y]


def test_student_predicts_as_its_ensemble_does(student, iris, forest):
    X, y = iris
    assert student.score(X, y) > 0.95
    assert_array_equal(student.classes_, forest.classes_)
    assert np.abs(student.predict_proba(X) - forest.predict_proba(X)).mean() < 0.03


def test_epistemic_uncertainty_follows_the_members(student, iris, forest):
    X = iris[0]
    members = member_predictions(forest, X)
    mean = members.mean(axis=-1)
    entropy = -(members * np.log(members)).sum(axis=1).mean(axis=-1)
    teacher = -(mean * np.log(mean)).sum(axis=1) - entropy
    epistemic = student.predict_uncertainty(X).epistemic
    assert np.corrcoef(teacher, epistemic)[0, 1] > 0.7
    assert 0.5 < epistemic.mean() / teacher.mean() < 2


def test_probabilities_are_consistent(student, iris):
    X = iris[0]
    proba = student.predict_proba(X)
    assert proba.shape == (len(X), 3)
    assert_allclose(proba.sum(axis=1), 1)
    assert_allclose(student.predict_log_proba(X), np.log(proba))
    assert_array_equal(student.predict(X), student.classes_[proba.argmax(axis=1)])
    assert_array_equal(proba, student.predict_proba(X))
    draws = student.sample_predictions(X, 4000, random_state=0)
    assert draws.shape == (len(X), 3, 4000)
    assert_allclose(draws.sum(axis=1), 1)
    # Probabilities are averaged over a hundred fixed draws.
    difference = np.abs(draws.mean(axis=-1) - proba)
    assert difference.mean() < 0.005
    assert difference.max() < 0.05


@pytest.fixture(
    scope="module", params=[(2, "full"), (2, "separable"), (3, "full"), (3, "separable")]
)
def steep(request):
    """Rows, and a student whose logits grow with the distance of a row, and their mean fastest."""
    n_classes, loadings = request.param
    rng = np.random.RandomState(0)
    X = rng.standard_normal((150, 3))
    logits = 5 * X[:, :n_classes, None] + 0.5 * rng.standard_normal((n_classes, 8))
    student = DLFClassifier(**{**QUICK, "n_epochs": 5}, loadings=loadings)
    return X, student.fit(X, predictions=logits, outputs="logits")


def test_log_probabilities_are_logarithms_of_ordinary_probabilities(steep):
    X, student = steep
    proba = student.predict_proba(X)
    assert_allclose(student.predict_log_proba(X), np.log(proba), rtol=1e-10)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
@pytest.mark.parametrize("distance", [1e3, 1e6, 1e12])
def test_log_probabilities_far_away_are_finite(distance, steep):
    X, student = steep
    far = np.concatenate([distance * X, -distance * X, X])
    log_proba = student.predict_log_proba(far)  # warnings are errors
    assert np.isfinite(log_proba).all()
    assert log_proba.min() < -1000
    assert log_proba.max() <= 0
    assert_array_equal(log_proba.argmax(axis=1), student.predict_proba(far).argmax(axis=1))
    assert_allclose(np.exp(log_proba).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:X has numbers far outside")
def test_log_probabilities_of_many_rows_are_those_of_few_rows(steep):
    X, student = steep
    # Probabilities along this ray fall from ordinary ones to some below the range of float32.
    ray = np.geomspace(1, 1e4, 600)[:, None] * X[:1]
    many = student.predict_log_proba(ray)  # in float32 where that is precise enough
    few = np.concatenate([student.predict_log_proba(part) for part in np.split(ray, 3)])
    assert few.min() < -1000
    assert_allclose(many, few, rtol=1e-4, atol=1e-5)


def test_total_uncertainty_is_the_sum_of_aleatoric_and_epistemic(student, iris):
    parts = student.predict_uncertainty(iris[0])
    assert_allclose(parts.aleatoric + parts.epistemic, parts.total, atol=1e-12)
    assert parts.epistemic.min() >= 0
    assert parts.total.max() <= np.log(3) + 1e-12


@pytest.mark.parametrize("n_rows", [150, 300, 8500])
def test_first_draws_do_not_depend_on_later_rows(n_rows, student, iris):
    X = np.resize(iris[0], (n_rows, 4))
    draw = student.sample_predictions
    # Exponentials amplify the rounding of large logits.
    assert_allclose(draw(X[:5], 9, 3), draw(X, 9, 3)[:5], rtol=1e-11)


@pytest.mark.parametrize("labels", [["no", "yes"], ["b", "a"], [False, True], [7, -1]])
def test_labels_of_any_kind_in_any_order(labels):
    X, y = binary(labels)
    forest = RandomForestClassifier(10, max_depth=3, random_state=0).fit(X, y)
    student = DLFClassifier(**SMALL, augment=None).fit(X, y, ensemble=forest)
    assert_array_equal(student.classes_, forest.classes_)
    assert student.n_outputs_ == 1  # the log-odds
    assert student.predict_proba(X).shape == (150, 2)
    assert student.score(X, y) > 0.85


def test_probabilities_lists_and_logits_are_the_same_teacher(iris, forest):
    X, y = iris
    proba = np.clip(member_predictions(forest, X), 1e-3, None)
    proba /= proba.sum(axis=1, keepdims=True)
    fit = {
        "array": DLFClassifier(**QUICK).fit(X, y, predictions=proba),
        "list": DLFClassifier(**QUICK).fit(X, y, predictions=list(np.moveaxis(proba, -1, 0))),
        "logits": DLFClassifier(**QUICK).fit(
            X, y, predictions=np.log(proba) + 3.0, outputs="logits"
        ),
    }
    expected = fit["array"].predict_proba(X)
    assert_allclose(fit["list"].predict_proba(X), expected)
    assert_allclose(fit["logits"].predict_proba(X), expected, atol=1e-4)


def test_a_known_model_is_recovered():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 2))
    mean = np.stack([X[:, 0], X[:, 1], -X.sum(axis=1)], axis=1)
    loadings = 0.5 * np.stack([mean, mean[:, ::-1]], axis=-1)
    logits = mean[..., None] + loadings @ rng.standard_normal((2, 60))
    student = DLFClassifier(**{**SMALL, "q": 2}).fit(X, predictions=softmax(logits, axis=1))
    latent = student.latent_parameters(X)
    centred = logits - logits.mean(axis=1, keepdims=True)
    assert_allclose(latent.mean, centred.mean(axis=-1), atol=0.3)
    variance = np.square(latent.loadings).sum(axis=-1) + latent.member_std**2
    expected = centred.var(axis=-1, ddof=1)
    assert np.corrcoef(variance.ravel(), expected.ravel())[0, 1] > 0.95
    assert_allclose(variance.mean(), expected.mean(), rtol=0.1)


def test_the_default_teacher_is_trained_the_same_after_clone_and_pickle(iris):
    X, y = iris[0][::5], iris[1][::5]  # training the deep ensemble takes most of the time
    student = clone(DLFClassifier(**QUICK)).fit(X, y)
    again = pickle.loads(pickle.dumps(student))
    assert_array_equal(again.predict_proba(X), student.predict_proba(X))
    assert_array_equal(DLFClassifier(**QUICK).fit(X, y).predict_proba(X), student.predict_proba(X))


@pytest.mark.filterwarnings("ignore:.*probabilities of 0 and 1 only:UserWarning")
def test_classes_are_those_of_the_ensemble_or_given_or_those_of_y(iris):
    X, y = iris[0], np.array(["b", "c", "a"])[iris[1]]
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    proba = member_predictions(forest, X)
    fit = DLFClassifier(**QUICK, augment=None).fit
    assert_array_equal(fit(X, ensemble=forest).classes_, ["a", "b", "c"])
    assert_array_equal(fit(X, y, predictions=proba).classes_, ["a", "b", "c"])
    assert_array_equal(fit(X, predictions=proba).classes_, [0, 1, 2])
    sorted_student = fit(X, y, predictions=proba)
    reordered = fit(X, y, predictions=proba[:, [2, 0, 1]], classes=["c", "a", "b"])
    # Labels are sorted, as scikit-learn's scorers expect.
    assert_array_equal(reordered.classes_, ["a", "b", "c"])
    assert_array_equal(reordered.predict_proba(X), sorted_student.predict_proba(X))
    assert reordered.ensemble_score_ == forest.score(X, y)
    logits = np.log(np.maximum(proba[:, [2, 0, 1]], 1e-6))
    from_logits = fit(X, y, predictions=logits, outputs="logits", classes=["c", "a", "b"])
    assert_allclose(from_logits.predict_proba(X), sorted_student.predict_proba(X), atol=1e-3)


def test_a_class_that_a_member_was_not_trained_on_is_learnt_from_the_others(iris):
    X, y = iris
    some = y < 2
    models = [RandomForestClassifier(5, random_state=seed).fit(X, y) for seed in (0, 1)]
    models.append(RandomForestClassifier(5, random_state=2).fit(X[some], y[some]))
    student = DLFClassifier(**{**SMALL, "q": 1}, augment=None).fit(X, y, ensemble=models)
    assert_array_equal(student.classes_, [0, 1, 2])
    assert student.score(X, y) > 0.9


def test_refinement_brings_averaged_probabilities_nearer_to_the_ensembles(student, iris, forest):
    X, y = iris
    plain = DLFClassifier(**SMALL, refine=False).fit(X, y, ensemble=forest)
    wanted = forest.predict_proba(X)
    divergence, refined = (
        rel_entr(wanted, fitted.predict_proba(X)).sum(axis=1).mean() for fitted in (plain, student)
    )
    assert refined < divergence / 2


@pytest.mark.parametrize("member_noise", ["constant", None])
def test_refinement_keeps_a_constant_member_noise_constant(member_noise, iris, forest):
    X = iris[0]
    student = DLFClassifier(**QUICK, member_noise=member_noise).fit(X, ensemble=forest)
    noise = student.latent_parameters(X).member_std / student.output_spread_
    assert np.ptp(noise) <= 1e-6
    assert (noise.max() > 0) == (member_noise == "constant")


def test_order_of_members_and_of_two_classes_does_not_matter():
    X, y = binary([0, 1])
    forest = RandomForestClassifier(20, min_samples_leaf=5, random_state=0).fit(X, y)
    members = member_predictions(forest, X)
    fit = DLFClassifier(**SMALL).fit
    proba = fit(X, predictions=members).predict_proba(X)
    swapped = fit(X, predictions=members[:, ::-1]).predict_proba(X)[:, ::-1]
    shuffled = fit(X, predictions=members[..., ::-1]).predict_proba(X)
    # With swapped classes the same start learns a mean of the opposite sign, so that the students
    # differ as those of two seeds do.
    assert np.abs(swapped - proba).mean() < 0.03
    assert np.abs(shuffled - proba).mean() < 0.01


def test_teacher_worse_than_the_most_frequent_label_gives_a_warning(iris, forest):
    X, y = iris
    with pytest.warns(UserWarning, match="worse than its most frequent label .* X_ensemble"):
        DLFClassifier(**QUICK).fit(X, y, predictions=member_predictions(forest, X)[:, [1, 2, 0]])


@pytest.mark.parametrize(("parameter", "value"), [("probability_floor", 0.0), ("refine", "yes")])
def test_invalid_parameters_are_refused_by_name(parameter, value, iris):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of DLFClassifier must be"):
        DLFClassifier(**{**QUICK, parameter: value}).fit(*iris)


IRIS, SPECIES = load_iris(return_X_y=True)
PROBA = np.random.RandomState(0).dirichlet(np.ones(3), size=(150, 6)).transpose(0, 2, 1)


def with_value(array, value):
    array = array.copy()
    array[3] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predictions": with_value(PROBA, np.nan)}, "predictions must be finite; 18 of 2700"),
        ({"predictions": with_value(PROBA, -1.0)}, r"values from -1 to"),
        ({"predictions": 2 * PROBA}, r"sum to one .* sums from 2 to 2\. For logits, pass"),
        ({"predictions": PROBA[..., :1]}, r"at least 2 members .* got shape \(150, 3, 1\)"),
        ({"predictions": PROBA[:, 0]}, r"\(n_samples, n_classes, n_members\), .* got shape"),
        ({"predictions": np.moveaxis(PROBA, -1, 0)}, "Members seem to come first"),
        ({"predictions": PROBA, "classes": [0, 1]}, r"3 columns.* classes has \[0, 1\]"),
        ({"predictions": PROBA, "classes": [0, 1, 1]}, "classes must be different labels"),
        ({"predictions": PROBA, "y": SPECIES > 0}, r"3 columns.* y has \[False, True\]"),
        (
            {"predictions": PROBA, "classes": [0, 1, 7]},
            r"no classes of the ensemble: \[2\]; its classes are \[0, 1, 7\]",
        ),
        ({"predictions": PROBA, "y": IRIS[:, 0]}, "Unknown label type: continuous"),
        ({"predictions": PROBA, "y": SPECIES[:20]}, "inconsistent numbers of samples"),
        ({"y": None}, "requires y to be passed, but the target y is None"),
    ],
)
def test_fit_names_what_is_wrong_with_its_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DLFClassifier(**QUICK).fit(**{"X": IRIS, "y": SPECIES, **arguments})


@pytest.fixture(scope="module")
def named_forest(iris):
    X, y = iris
    return RandomForestClassifier(20, min_samples_leaf=3, random_state=0).fit(
        X, np.array(["a", "b", "c"])[y]
    )


def test_codes_in_place_of_names_are_the_places_of_the_names(iris, named_forest):
    X, y = iris
    named = DLFClassifier(augment=None, **QUICK).fit(
        X, np.array(["a", "b", "c"])[y], ensemble=named_forest
    )
    coded = DLFClassifier(augment=None, **QUICK).fit(X, y, ensemble=named_forest)
    assert_array_equal(coded.classes_, [0, 1, 2])
    assert_array_equal(coded.predict_proba(X), named.predict_proba(X))


def test_codes_are_refused_where_one_does_not_occur(iris, named_forest):
    X, y = iris
    with pytest.raises(ValueError, match="each code occurs"):
        DLFClassifier(augment=None, **QUICK).fit(X[y < 2], y[y < 2], ensemble=named_forest)


def test_probabilities_of_names_are_cross_validated(iris, named_forest):
    X, y = iris
    student = DLFClassifier(FittedEnsemble(named_forest), augment=None, **QUICK)
    names = np.array(["a", "b", "c"])[y]
    proba = cross_val_predict(student, X, names, cv=2, method="predict_proba")
    assert np.mean(np.array(["a", "b", "c"])[proba.argmax(axis=1)] == names) > 0.6


def test_contradictory_arguments_of_fit_are_refused(iris, forest):
    X, y = iris
    proba = member_predictions(forest, X)
    fit = DLFClassifier(**QUICK).fit
    with pytest.raises(ValueError, match="sum to"):
        fit(X, y, predictions=2 * proba)
    with pytest.raises(ValueError, match="needs an ensemble of classifiers"):
        fit(X, y, ensemble=RandomForestRegressor(3).fit(X, y))
    with pytest.raises(ValueError, match="must be 'probabilities' or 'logits'"):
        fit(X, y, predictions=proba, outputs="odds")
    with pytest.raises(ValueError, match="describes predictions, and none were given"):
        fit(X, y, ensemble=forest, outputs="logits")
    with pytest.raises(ValueError, match="class"):
        fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="labels of at least two classes"):
        fit(X, np.zeros(len(X), dtype=int))
    with pytest.raises(ValueError, match="The classes of the ensemble are"):
        fit(X, y, ensemble=forest, classes=[2, 1, 0])
    with pytest.raises(ValueError, match="Both an ensemble and predictions"):
        fit(X, y, ensemble=forest, predictions=proba)
