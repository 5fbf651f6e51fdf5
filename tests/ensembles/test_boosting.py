"""Models of XGBoost, LightGBM and CatBoost as members, and CatBoost's virtual ensembles."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.ensemble import BaggingRegressor, VotingClassifier

from sklearn_dlf.ensembles import FittedEnsemble, describe_ensemble, member_predictions

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
y = 10 * X[:, 0] + rng.normal(size=120)
codes = np.digitize(y, [-5, 5])
labels = np.array(["low", "high", "middle"])[codes]
frame = pd.DataFrame(X, columns=["w", "x", "y", "z"])
shuffled = frame[["z", "x", "w", "y"]]


def xgboost_model(name, seed=0):
    library = pytest.importorskip("xgboost")
    return getattr(library, f"XGB{name}")(
        n_estimators=5, subsample=0.5, random_state=seed, n_jobs=1
    )


def lightgbm_model(name, seed=0):
    library = pytest.importorskip("lightgbm")
    return getattr(library, f"LGBM{name}")(
        n_estimators=5, subsample=0.5, subsample_freq=1, random_state=seed, n_jobs=1, verbose=-1
    )


def catboost_model(name, seed=0, **options):
    library = pytest.importorskip("catboost")
    options = {"iterations": 5, "thread_count": 1, "verbose": 0, **options}
    return getattr(library, f"CatBoost{name}")(
        random_seed=seed, allow_writing_files=False, **options
    )


every_library = pytest.mark.parametrize("make", [xgboost_model, lightgbm_model, catboost_model])


@every_library
@pytest.mark.parametrize("fitted_on", [X, frame], ids=["on array", "on frame"])
@pytest.mark.parametrize("rows", [X, frame, shuffled], ids=["array", "frame", "shuffled"])
def test_regressors_find_columns_by_name(make, fitted_on, rows):
    if fitted_on is X and rows is shuffled:
        return  # a model without names cannot find the order
    models = [make("Regressor", seed).fit(fitted_on, y) for seed in range(3)]
    expected = np.column_stack([model.predict(fitted_on) for model in models])
    assert expected.std(axis=1).max() > 0
    assert_allclose(member_predictions(models, rows), expected, rtol=1e-6)


@every_library
def test_another_number_of_columns_raises(make):
    models = [make("Regressor", seed).fit(X, y) for seed in range(2)]
    with pytest.raises(ValueError, match=r"X has shape \(120, 3\).*fitted with 4 features"):
        member_predictions(models, X[:, :3])


@every_library
def test_classifiers_return_probabilities(make):
    targets = codes if make is xgboost_model else labels  # XGBoost requires codes
    models = [make("Classifier", seed).fit(X, targets) for seed in range(3)]
    predictions = member_predictions(models, X)
    assert_array_equal(describe_ensemble(models).classes, np.unique(targets))
    assert_allclose(predictions[..., 2], models[2].predict_proba(X), rtol=1e-5)


@every_library
def test_two_classes_have_two_columns(make):
    models = [make("Classifier", seed).fit(X, (y > 0).astype(int)) for seed in range(2)]
    assert member_predictions(models, X).shape == (120, 2, 2)


@pytest.mark.parametrize("make", [lightgbm_model, catboost_model])
def test_missing_classes_are_aligned(make):
    pairs = [labels != missing for missing in ("low", "high")]
    models = [make("Classifier").fit(X[pair], labels[pair]) for pair in pairs]
    predictions = member_predictions(models, X)
    assert_array_equal(describe_ensemble(models).classes, ["high", "low", "middle"])
    assert_allclose(predictions[:, [0, 2], 0], models[0].predict_proba(X), atol=1e-6)


@every_library
def test_a_model_that_is_not_fitted_raises(make):
    with pytest.raises(ValueError, match=r"Model 1 .* is not fitted"):
        member_predictions([make("Regressor").fit(X, y), make("Regressor")], X)


@pytest.mark.parametrize("make", [xgboost_model, lightgbm_model])
def test_a_single_boosted_model_raises_with_the_way_out(make):
    with pytest.raises(TypeError, match=r"is not an ensemble of alternatives.*as a list"):
        member_predictions(make("Regressor").fit(X, y), X)


@pytest.mark.parametrize("kind", ["Regressor", "Classifier"])
def test_forests_without_predictions_of_single_trees_raise(kind):
    lightgbm = pytest.importorskip("lightgbm")
    forests = [
        xgboost_model(f"RF{kind}"),
        getattr(lightgbm, f"LGBM{kind}")(boosting_type="rf", subsample=0.5, subsample_freq=1),
    ]
    for forest in forests:
        with pytest.raises(
            TypeError, match=rf"it is a random forest.*Pass a list.*RandomForest{kind}"
        ):
            describe_ensemble(forest)


def test_boosters_that_take_a_dmatrix_need_callables():
    DMatrix = pytest.importorskip("xgboost").DMatrix
    models = [xgboost_model("Regressor", seed).fit(X, y) for seed in range(2)]
    boosters = [model.get_booster() for model in models]
    for outputs in (None, "values", "probabilities"):
        with pytest.raises(
            TypeError, match=r"pass callables to FittedEnsemble, such as lambda X: booster"
        ):
            FittedEnsemble(boosters, outputs=outputs)
    callables = [lambda X, booster=booster: booster.predict(DMatrix(X)) for booster in boosters]
    predictions = FittedEnsemble(callables, outputs="values").member_predictions(X)
    assert_allclose(predictions, member_predictions(models, X), rtol=1e-6)


@every_library
def test_models_can_vote_and_be_bagged(make):
    bagging = BaggingRegressor(make("Regressor"), 3, max_features=0.5, random_state=0).fit(X, y)
    assert_allclose(member_predictions(bagging, X).mean(axis=1), bagging.predict(X), rtol=1e-6)
    voters = [(str(seed), make("Classifier", seed)) for seed in range(2)]
    voting = VotingClassifier(voters, voting="soft", weights=[1, 2]).fit(frame, labels)
    predictions = member_predictions(voting, frame)
    assert_allclose(predictions.mean(axis=2), voting.predict_proba(frame), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "suffix"), [(xgboost_model, ".ubj"), (catboost_model, ".cbm")], ids=["xgb", "cat"]
)
def test_models_read_from_a_file_are_members(make, suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    fitted = make("Regressor").fit(X, y)
    fitted.save_model(path)
    read = make("Regressor")
    read.load_model(path)
    assert_allclose(member_predictions([fitted, read], X)[:, 1], fitted.predict(X), rtol=1e-6)


def test_categories_reach_catboost_by_name():
    rows = frame.assign(colour=np.where(y > 0, "red", "blue"))
    models = [
        catboost_model("Regressor", seed).fit(rows, y, cat_features=["colour"]) for seed in range(2)
    ]
    assert_allclose(member_predictions(models, rows)[:, 1], models[1].predict(rows))


def test_the_variance_of_catboost_is_dropped():
    models = [
        catboost_model("Regressor", seed, loss_function="RMSEWithUncertainty").fit(X, y)
        for seed in range(2)
    ]
    assert_allclose(member_predictions(models, X)[:, 1], models[1].predict(X)[:, 0])


# Virtual ensembles


def virtual(model, n_members):
    return model.virtual_ensembles_predict(
        X, prediction_type="VirtEnsembles", virtual_ensembles_count=n_members
    )


@pytest.mark.parametrize("loss", ["RMSE", "RMSEWithUncertainty"])
def test_virtual_ensembles_are_members(loss):
    model = catboost_model("Regressor", iterations=60, posterior_sampling=True, loss_function=loss)
    model.fit(X, y)
    assert_allclose(member_predictions(model, X), virtual(model, 10)[..., 0])
    ensemble = FittedEnsemble(model, n_members=20)
    assert_allclose(ensemble.member_predictions(frame), virtual(model, 20)[..., 0])


def test_virtual_ensembles_of_classifiers_return_logits():
    model = catboost_model("Classifier", iterations=60, posterior_sampling=True).fit(X, labels)
    expected = softmax(virtual(model, 10), axis=2).transpose(0, 2, 1)
    assert_allclose(member_predictions(model, X), expected, atol=1e-7)
    assert_array_equal(describe_ensemble(model).classes, ["high", "low", "middle"])
    model.fit(X, labels == "low")
    assert_allclose(
        member_predictions(model, X)[:, 1], expit(virtual(model, 10)[..., 0]), atol=1e-7
    )


def test_stages_of_a_plain_model_raise():
    with pytest.raises(ValueError, match="without posterior_sampling=True"):
        member_predictions(catboost_model("Regressor").fit(X, y), X)


def test_too_many_virtual_ensembles_raise():
    model = catboost_model("Regressor", iterations=20, posterior_sampling=True).fit(X, y)
    with pytest.raises(
        ValueError, match=r"20 trees, enough for 10 virtual ensembles, got n_members=11"
    ):
        FittedEnsemble(model, n_members=11)
