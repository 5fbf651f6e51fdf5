"""The fixed list of models that ``same_fits.py`` compares between two commits."""

from __future__ import annotations

from inspect import signature

import numpy as np

# Parameters and values as earlier commits spell them.
OLD_NAMES = {"lr": "learning_rate_init", "weight_decay": "alpha"}
OLD_VALUES = {
    ("member_noise", None): "none",
    ("out_of_bag", "widen"): "spread",
    ("out_of_bag", "match"): "members",
    ("augment", "far_neighbors"): "reach",
}

QUICK = {"n_epochs": 2, "max_iter": 4, "random_state": 0}
SMALL = {"hidden_layer_sizes": (20,), **QUICK}


def make(estimator_class, **parameters):
    """Build an estimator, with parameters as its commit spells them."""
    known = signature(estimator_class).parameters
    spelled = {}
    for name, value in parameters.items():
        spelled[name if name in known else OLD_NAMES[name]] = value
    estimator = estimator_class(**spelled)
    for (name, value), old_value in OLD_VALUES.items():
        if name in spelled and spelled[name] == value and not accepts(estimator):
            estimator.set_params(**{name: old_value})
    return estimator


def accepts(estimator):
    """Whether an estimator takes its parameters."""
    try:
        estimator._validate_params()
    except ValueError:
        return False
    return True


def list_fits():
    """Names and functions that fit a model and return its arrays."""
    yield from list_regressors()
    yield from list_classifiers()
    yield from list_baselines()
    yield from list_deep_ensembles()


def list_regressors():
    """Students of regressors."""
    from sklearn.datasets import load_diabetes, load_linnerud
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.preprocessing import StandardScaler

    from sklearn_dlf import DLFRegressor
    from sklearn_dlf.datasets import make_dlf_ensemble
    from sklearn_dlf.ensembles import DeepEnsembleRegressor

    X, y = load_diabetes(return_X_y=True)
    X, y = X[:200], y[:200]
    forest = RandomForestRegressor(20, min_samples_leaf=3, random_state=0).fit(X, y)
    weights = np.random.RandomState(0).randint(3, size=len(X)).astype(float)
    two = make_dlf_ensemble(120, n_members=15, n_outputs=2, random_state=0)
    linnerud = StandardScaler().fit_transform(load_linnerud().data), load_linnerud().target
    X_wide = StandardScaler().fit_transform(X) * 3 + 1

    def student(data=(X, y), fit=None, **parameters):
        fit = {"ensemble": forest} if fit is None else fit
        return lambda: regressor_arrays(
            make(DLFRegressor, **{**QUICK, **parameters}).fit(*data, **fit), data[0]
        )

    yield "regressor, to convergence", student(max_iter=100, n_epochs="auto", tol=0.05)
    for mode in ["widen", "match", None]:
        yield f"regressor, out_of_bag={mode}", student(out_of_bag=mode)
        yield (
            f"regressor of networks, out_of_bag={mode}",
            student(fit={}, ensemble=DeepEnsembleRegressor(6, max_iter=10), out_of_bag=mode),
        )
    yield "regressor, small, polished", student(hidden_layer_sizes=(5,), q=3)
    yield "regressor, small, weight decay", student(hidden_layer_sizes=(5,), weight_decay=1e-3)
    yield "regressor, adamw, relu", student(optimizer="adamw", activation="relu")
    for augment in ["neighbors", "far_neighbors", "mixup", None, double]:
        yield (
            f"regressor, augment={getattr(augment, '__name__', augment)}",
            student(augment=augment),
        )
    for noise in ["constant", None]:
        yield f"regressor, member_noise={noise}", student(member_noise=noise)
    for init in ["mmd", "random"]:
        yield f"regressor, init={init}", student(init=init)
        yield f"regressor, mini-batch EM, init={init}", student(init=init, em="minibatch")
    yield "regressor, mini-batch EM", student(em="minibatch")
    yield "regressor, q=auto", student(q="auto")
    yield "regressor, weights", student(fit={"ensemble": forest, "sample_weight": weights})
    yield "regressor, unlabeled", student(fit={"ensemble": forest, "X_unlabeled": X[::2] + 0.01})
    yield "regressor, transformed rows", student((X_wide, y), {"ensemble": forest, "X_ensemble": X})
    yield (
        "regressor of a process",
        student(
            (X[:60], y[:60]),
            {"ensemble": GaussianProcessRegressor(alpha=100.0).fit(X[:60], y[:60])},
        ),
    )
    for loadings in ["full", "separable"]:
        yield (
            f"regressor, two outputs, loadings={loadings}",
            student((two.X, two.y), {"predictions": two.predictions}, loadings=loadings),
        )
        yield (
            f"regressor, three outputs, loadings={loadings}",
            student(linnerud, {}, loadings=loadings, ensemble=RandomForestRegressor(10)),
        )
        yield (
            f"regressor, two outputs, small, polished, loadings={loadings}",
            student(
                (two.X, two.y),
                {"predictions": two.predictions},
                loadings=loadings,
                hidden_layer_sizes=(3,),
                q=2,
                max_iter=3,
            ),
        )
    yield "regressor, without y", student((two.X, None), {"predictions": two.predictions})


def list_classifiers():
    """Students of classifiers."""
    from sklearn.datasets import load_breast_cancer, load_iris
    from sklearn.ensemble import RandomForestClassifier

    from sklearn_dlf import DLFClassifier
    from sklearn_dlf.ensembles import DeepEnsembleClassifier, member_predictions

    iris = load_iris(return_X_y=True)
    cancer = load_breast_cancer(return_X_y=True)
    cancer = cancer[0][:200], np.where(cancer[1][:200], "good", "bad")
    forests = {
        "iris": (iris, RandomForestClassifier(15, random_state=0).fit(*iris)),
        "cancer": (cancer, RandomForestClassifier(15, random_state=0).fit(*cancer)),
    }
    weights = np.random.RandomState(0).randint(3, size=len(iris[0])).astype(float)

    def student(data, fit, **parameters):
        return lambda: classifier_arrays(
            make(DLFClassifier, **{**SMALL, "q": 4, **parameters}).fit(*data, **fit), data[0]
        )

    for name, (data, forest) in forests.items():
        for mode in ["widen", "match", None]:
            yield (
                f"classifier of {name}, out_of_bag={mode}",
                student(data, {"ensemble": forest}, out_of_bag=mode),
            )
        for refine in [False, True]:
            for loadings in ["full", "separable"]:
                yield (
                    f"classifier of {name}, loadings={loadings}, refine={refine}",
                    student(data, {"ensemble": forest}, loadings=loadings, refine=refine),
                )
        yield (
            f"classifier of {name}, augment=None",
            student(data, {"ensemble": forest}, augment=None),
        )
        yield (
            f"classifier of {name}, not refined, polished",
            student(
                data,
                {"ensemble": forest},
                refine=False,
                optimizer="adam",
                weight_decay=0.0,
                hidden_layer_sizes=(3,),
                q=2,
            ),
        )
    data, forest = forests["iris"]
    yield (
        "classifier, default",
        student(data, {"ensemble": forest}, hidden_layer_sizes=(100, 100), n_epochs=1),
    )
    yield "classifier, weights", student(data, {"ensemble": forest, "sample_weight": weights})
    yield "classifier, mini-batch EM", student(data, {"ensemble": forest}, em="minibatch")
    yield "classifier, constant noise", student(data, {"ensemble": forest}, member_noise="constant")
    logits = np.log(np.maximum(member_predictions(forest, data[0]), 1e-3))
    yield "classifier, logits", student(data, {"predictions": logits, "outputs": "logits"})
    yield (
        "classifier of networks",
        student(data, {}, ensemble=DeepEnsembleClassifier(5, max_iter=5)),
    )


def list_baselines():
    """Baselines of both kinds."""
    from sklearn.datasets import load_diabetes, load_iris
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    from sklearn_dlf import baselines

    X, y = load_diabetes(return_X_y=True)
    diabetes = X[:150], y[:150]
    iris = load_iris(return_X_y=True)
    forest = RandomForestRegressor(12, random_state=0).fit(*diabetes)
    trees = RandomForestClassifier(12, random_state=0).fit(*iris)
    for name in ["Hydra", "BatchEnsemble", "SmallEnsemble"]:
        for size in [20, 3]:  # the smaller networks of Hydra are polished

            def regressor(name=name, size=size, **parameters):
                model = getattr(baselines, f"{name}Regressor")
                model = make(model, **{**QUICK, "hidden_layer_sizes": (size,), **parameters})
                return regressor_arrays(model.fit(*diabetes, ensemble=forest), diabetes[0])

            def classifier(name=name, size=size, **parameters):
                model = getattr(baselines, f"{name}Classifier")
                model = make(model, **{**QUICK, "hidden_layer_sizes": (size,), **parameters})
                return classifier_arrays(model.fit(*iris, ensemble=trees), iris[0])

            yield f"{name}Regressor, ({size},)", regressor
            yield f"{name}Classifier, ({size},)", classifier
            if name == "BatchEnsemble":
                yield (
                    f"{name}Regressor, ({size},), averaged",
                    lambda fit=regressor: fit(average_masks=True),
                )
                yield (
                    f"{name}Classifier, ({size},), averaged",
                    lambda fit=classifier: fit(average_masks=True),
                )
    yield (
        "DirichletClassifier",
        lambda: classifier_arrays(
            make(baselines.DirichletClassifier, **SMALL).fit(*iris, ensemble=trees), iris[0]
        ),
    )


def list_deep_ensembles():
    """Deep ensembles of both kinds."""
    from sklearn.datasets import load_diabetes, load_iris

    from sklearn_dlf.ensembles import DeepEnsembleClassifier, DeepEnsembleRegressor

    cases = {
        "default": {},
        "bootstrap": {"bootstrap": True},
        "all rows": {"early_stopping": False},
        "one layer, tanh": {"hidden_layer_sizes": 10, "activation": "tanh", "lr": 0.01},
    }
    for name, parameters in cases.items():
        parameters = {"n_estimators": 6, "max_iter": 15, "random_state": 0, **parameters}

        def fit(estimator_class, data, parameters=parameters):
            ensemble = make(estimator_class, **parameters).fit(*data)
            arrays = {f"coefs {i}": array for i, array in enumerate(ensemble.coefs_)}
            arrays |= {f"intercepts {i}": a for i, a in enumerate(ensemble.intercepts_)}
            arrays["members"] = ensemble.member_predictions(data[0])
            arrays["predict"] = ensemble.predict(data[0])
            arrays["unseen"] = ensemble.unseen_rows_
            return arrays

        data = load_diabetes(return_X_y=True)
        yield (
            f"DeepEnsembleRegressor, {name}",
            lambda fit=fit, data=data: fit(DeepEnsembleRegressor, data),
        )
        data = load_iris(return_X_y=True)
        yield (
            f"DeepEnsembleClassifier, {name}",
            lambda fit=fit, data=data: fit(DeepEnsembleClassifier, data),
        )


def double(X, n_rows, random_state):
    """Make rows by a callable."""
    return X[random_state.randint(len(X), size=n_rows)] * 1.01


def weights_of(student):
    """Weights of a student's network and fitted units."""
    tensors = [tensor.cpu().numpy() for tensor in student.student_.state_dict().values()]
    arrays = {f"weights {i}": tensor for i, tensor in enumerate(tensors)}
    for name in ["output_center_", "output_scale_", "output_spread_", "log_likelihoods_"]:
        if hasattr(student, name):
            arrays[name] = getattr(student, name)
    return arrays


def regressor_arrays(student, X):
    """All that a student of regressors answers."""
    arrays = weights_of(student)
    arrays["mean"], arrays["std"] = student.predict(X, return_std=True)
    arrays["one row"] = student.predict(X[:1])
    arrays["members"] = student.sample_predictions(X, 5, random_state=0)
    if hasattr(student, "latent_parameters"):
        arrays["covariance"] = student.predict(X[:20], return_cov=True)[1]
        arrays |= {f"latent {k}": np.asarray(v) for k, v in student.latent_parameters(X).items()}
    if student.target_noise_ is not None:
        arrays["noise shape"], arrays["noise scale"] = (
            student.target_noise_.shape,
            student.target_noise_.scale,
        )
        arrays["y"] = student.sample_y(X, 5, random_state=0)
        arrays["interval"] = student.predict_interval(X, 0.9)
        arrays["score"] = np.array(student.ensemble_score_)
    return arrays


def classifier_arrays(student, X):
    """All that a student of classifiers answers."""
    arrays = weights_of(student)
    arrays["probabilities"] = student.predict_proba(X)
    arrays["one row"] = student.predict_proba(X[:1])
    arrays["labels"] = student.predict(X)
    arrays["members"] = student.sample_predictions(X, 5, random_state=0)
    arrays |= {f"uncertainty {k}": v for k, v in student.predict_uncertainty(X).items()}
    arrays["score"] = np.array(student.ensemble_score_)
    if hasattr(student, "latent_parameters"):
        arrays |= {f"latent {k}": np.asarray(v) for k, v in student.latent_parameters(X).items()}
    return arrays
