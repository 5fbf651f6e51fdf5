"""Scores of the benchmark of fidelity, and what its simple students learn."""

import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.datasets import make_classification, make_friedman1
from sklearn.ensemble import (
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from sklearn_dlf import DLFRegressor
from sklearn_dlf.baselines import HydraRegressor
from sklearn_dlf.datasets import make_dlf_ensemble
from sklearn_dlf.metrics import member_fidelity, mutual_information

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# So many parameters that training does not end by L-BFGS, which takes longer.
SMALL = {"hidden_layer_sizes": 64, "max_iter": 1, "n_epochs": 1}


@pytest.fixture
def load(monkeypatch):
    """Function that imports a module of the benchmarks; none stays imported after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.mark.parametrize("module", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_all_modules_can_be_imported(module, load):
    load(module)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture(scope="module")
def forest():
    X, y = make_friedman1(80, noise=1.0, random_state=0)
    return RandomForestRegressor(30, random_state=0).fit(X, y), X, y


def learn_and_keep(student, forest, monkeypatch):
    """Fit a student; return it, and its transfer set."""
    ensemble, X, y = forest
    kept, learn = [], type(student)._learn

    def keep(self, transfer_set, random_state):
        kept.append((transfer_set.design, transfer_set.contrasts.latent_members()))
        return learn(self, transfer_set, random_state)

    monkeypatch.setattr(type(student), "_learn", keep)
    return student.fit(X, y, ensemble=ensemble), *kept[0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_simple_students_learn_at_the_design_points_of_all_students(load, forest, monkeypatch):
    ten_lines = load("ten_lines")
    students = (
        ten_lines.TwoBoostedRegressor(random_state=3),
        HydraRegressor(random_state=3, **SMALL),
        DLFRegressor(random_state=3, **SMALL),
    )
    first, *others = (learn_and_keep(each, forest, monkeypatch)[1] for each in students)
    assert len(first) > len(forest[1])
    for other in others:
        assert_array_equal(first, other)


def test_boosting_is_that_of_mean_and_log_std(load, forest, monkeypatch):
    student = load("ten_lines").TwoBoostedRegressor(random_state=0)
    student, design, members = learn_and_keep(student, forest, monkeypatch)
    values = members[:, 0].mean(axis=1), np.log(members[:, 0].std(axis=1, ddof=1))
    rows = student.scaler_.transform(forest[1])
    expected = [HistGradientBoostingRegressor().fit(design, each).predict(rows) for each in values]
    mean, std = student.predict(forest[1], return_std=True)
    # The members are kept in float32.
    assert_allclose(mean, expected[0], rtol=1e-3)
    assert_allclose(np.log(std), expected[1], atol=1e-3)


def test_draws_of_simple_students_have_their_moments(load, forest):
    ensemble, X, y = forest
    student = load("ten_lines").MomentsNetworkRegressor(random_state=0)
    mean, std = student.fit(X, y, ensemble=ensemble).predict(X[:5], return_std=True)
    draws = student.sample_predictions(X[:5], 20_000, random_state=0)
    # Five standard errors of means of 20,000 draws, and of their standard deviations.
    assert_allclose((draws.mean(axis=1) - mean) / std, 0, atol=5 / np.sqrt(20_000))
    assert_allclose(draws.std(axis=1) / std, 1, atol=5 / np.sqrt(40_000))


def test_the_network_of_classes_learns_mutual_information(load):
    X, labels = make_classification(200, n_informative=4, n_classes=3, random_state=0)
    ensemble = RandomForestClassifier(20, min_samples_leaf=5, random_state=0).fit(X, labels)
    student = load("ten_lines").MomentsNetworkClassifier(random_state=0)
    parts = student.fit(X, labels, ensemble=ensemble).predict_uncertainty(X)
    members = np.stack([tree.predict_proba(X) for tree in ensemble.estimators_], axis=-1)
    information = mutual_information(members)
    assert np.corrcoef(parts.epistemic, information)[0, 1] > 0.8
    assert_allclose(parts.epistemic.mean(), information.mean(), rtol=0.2)
    assert_allclose(student.predict_proba(X).sum(axis=1), 1, rtol=1e-6)


def test_reliability_is_the_correlation_of_two_ensembles(load, rng):
    scores = load("member_scores")
    std = rng.uniform(1, 2, (4000, 1))
    members, others = std * rng.standard_normal((2, 4000, 20))
    expected = np.corrcoef(scores.spread_of(members), scores.spread_of(others))[0, 1]
    # The standard error of a correlation over 4000 rows is about 0.015.
    assert_allclose(scores.reliability(members, scores.spread_of), expected, atol=0.05)


def test_ceiling_is_reached_by_the_true_spread(load, rng):
    std = rng.uniform(1, 2, 4000)
    members = std[:, None] * rng.standard_normal((4000, 20))
    scores = load("member_scores").compare_moments(members, members.mean(axis=1), std)
    assert_allclose(scores["std_corr_share"], 1, atol=0.05)


def test_gap_of_the_member_nll_is_that_to_the_members_own_normals(load, rng):
    members = rng.standard_normal((30, 8))
    mean, std = rng.standard_normal(30), rng.uniform(1, 2, 30)
    own = norm.logpdf(members.T, members.mean(axis=1), members.std(axis=1)).mean()
    expected = own - norm.logpdf(members.T, mean, std).mean()
    gap = load("member_scores").compare_moments(members, mean, std)["member_nll_gap"]
    assert_allclose(gap, expected, rtol=1e-10)


def test_rows_with_an_exploding_spread_are_counted(load, rng):
    members = rng.standard_normal((30, 8))
    std = members.std(axis=1, ddof=1)
    std[:2] = 5.1 * std.max()
    scores = load("member_scores").compare_moments(members, members.mean(axis=1), std)
    assert scores["n_exploding"] == 2


def test_joint_energy_tells_dependent_rows_from_independent_ones(load, rng):
    distance = load("member_scores").joint_energy_distance
    members = rng.standard_normal((1, 60)) * np.ones((20, 1))
    assert_allclose(distance(members, members), 0, atol=1e-12)
    same_law = rng.standard_normal((1, 500)) * np.ones((20, 1))
    assert distance(members, rng.standard_normal((20, 500))) > 3 * distance(members, same_law)


def test_best_multiple_and_error_are_those_of_the_process(load, rng):
    loadings = rng.standard_normal((40, 3))
    held_out = loadings @ rng.standard_normal((3, 20_000)) + rng.standard_normal((40, 20_000))
    scores = load("held_out").score_covariance(2 * loadings @ loadings.T, held_out)
    # 20,000 members: the covariance is known to about a hundredth.
    assert_allclose([scores["best_multiple"], scores["cov_error"]], [0.5, 1.0], atol=0.03)


def test_no_covariance_has_a_relative_error_of_one(load, rng):
    held_out = rng.standard_normal((10, 1)) @ rng.standard_normal((1, 50))
    tiny = 1e-9 * np.ones((10, 10))
    assert_allclose(load("held_out").score_covariance(tiny, held_out)["cov_error"], 1, atol=1e-6)


def test_reference_gains_about_what_the_truth_gains(load):
    data = make_dlf_ensemble(60, n_members=1500, member_noise=1.0, random_state=0)
    reference, choice, held_out = np.split(data.predictions, [1000, 1200], axis=1)
    truth = {"mean": data.mean, "loadings": data.loadings}
    truth["member_std"] = 0 * data.mean + data.member_noise
    std = data.predictions.std(axis=1)
    best = member_fidelity(
        held_out, data.mean[:, 0], std, latent_parameters=truth, held_out_members=held_out
    ).joint_gain
    gain = load("held_out").score_reference(reference, choice, held_out)["joint_gain"]
    assert 0.7 * best < gain < best


def test_correlations_between_outputs_are_those_of_numpy(load, rng):
    members = rng.standard_normal((6, 3, 9))
    expected = [np.corrcoef(outputs)[np.triu_indices(3, 1)] for outputs in members]
    assert_allclose(load("several_outputs").correlations(members), expected, rtol=1e-10)


def test_slope_of_weaker_correlations_is_below_one(load, rng):
    mixing = rng.standard_normal((50, 3, 3))
    members = mixing @ rng.standard_normal((50, 3, 400))
    draws = members + np.sqrt(mixing**2).sum(axis=2)[..., None] * rng.standard_normal((50, 3, 400))
    compare = load("several_outputs").compare_outputs
    assert_allclose([compare(members, members)[key] for key in ("slope", "corr")], 1, rtol=1e-6)
    assert 0 < compare(members, draws)["slope"] < 0.6


def test_comparison_of_fidelity_runs_and_goes_on_from_its_records(
    load, monkeypatch, tmp_path, capsys
):
    script, data, held_out, outputs = (
        load(name) for name in ("compare_fidelity", "fidelity_data", "held_out", "several_outputs")
    )
    small = partial(DLFRegressor, **SMALL)
    monkeypatch.setattr(data, "N_MADE", 60)
    monkeypatch.setattr(data, "MAX_TEST", 30)
    monkeypatch.setitem(data.RECIPES, "forest", (RandomForestRegressor, 8))
    monkeypatch.setattr(script, "STUDENTS", {"DLF": small, "boosting": script.TwoBoostedRegressor})
    monkeypatch.setattr(held_out, "DLFRegressor", small)
    monkeypatch.setattr(held_out, "N_DRAWN", 40)
    monkeypatch.setattr(held_out, "MAX_ROWS", 30)
    monkeypatch.setattr(outputs, "SETS", {"linnerud": outputs.SETS["linnerud"]})
    monkeypatch.setattr(outputs, "STUDENTS", {"DLF": (small, None)})
    arguments = ["--sets", "friedman1", "--teachers", "forest", "--splits", "1"]
    arguments += ["--students", "DLF", "boosting", "--held-out", "10"]
    arguments += ["--results", str(tmp_path / "results.jsonl")]
    monkeypatch.setattr(sys, "argv", ["compare_fidelity.py", *arguments])
    script.main()
    first = capsys.readouterr().out
    records = (tmp_path / "results.jsonl").read_text()
    script.main()
    again = capsys.readouterr().out
    assert (tmp_path / "results.jsonl").read_text() == records
    assert [line for line in first.splitlines() if not line.endswith(" s")] == again.splitlines()
    assert first.count("### Bars") == 3
