"""Contrasts of members' outputs of any size."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dlf._transfer.contrasts import ContrastsBuilder, make_contrasts

rng = np.random.default_rng(0)
OUTPUTS = rng.normal(size=(40, 2, 5)) + rng.normal(size=(40, 2, 1)) + np.array([[[0.0], [9.0]]])
WEIGHTS = rng.uniform(size=40)


def built(outputs, size=10):
    builder = ContrastsBuilder(len(outputs))
    for start in range(0, len(outputs), size):
        builder.add(slice(start, start + size), outputs[start : start + size])
    return builder.build()


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("exponent", [-200, -130, -40, 40, 120])
def test_contrasts_of_another_unit_are_the_same(exponent, weights):
    ordinary = make_contrasts(OUTPUTS, weights)
    scaled = make_contrasts(np.ldexp(OUTPUTS, exponent), weights)
    for name in ("mean", "residuals", "variance"):
        assert_array_equal(getattr(scaled, name), getattr(ordinary, name))
    for own, expected in zip(scaled.units, ordinary.units, strict=True):
        assert_array_equal(own, np.ldexp(expected, exponent))
    members = np.ldexp(scaled.latent_members(), -exponent)
    assert_allclose(members, ordinary.latent_members(), rtol=1e-6)


def test_outputs_may_have_units_of_their_own():
    scaled = np.ldexp(OUTPUTS, np.array([[-200], [100]]))
    assert_array_equal(make_contrasts(scaled).residuals, make_contrasts(OUTPUTS).residuals)


@pytest.mark.parametrize("exponent", [-200, 0, 100])
def test_members_may_agree_at_first(exponent):
    outputs = np.ldexp(OUTPUTS, exponent)
    outputs[:20] = outputs[:20, :, :1]
    assert_array_equal(built(outputs).residuals, make_contrasts(outputs).residuals)
    assert (built(outputs).units.spread > 0).all()


def test_units_grow_with_the_blocks():
    outputs = OUTPUTS.copy()
    outputs[:20] = np.ldexp(OUTPUTS[:20], -200)
    contrasts, whole = built(outputs), make_contrasts(outputs)
    assert np.isfinite(contrasts.residuals).all()
    assert_allclose(contrasts.residuals, whole.residuals, atol=1e-30)
    assert_allclose(contrasts.units.spread, whole.units.spread, rtol=1e-6)


def test_members_that_differ_around_a_constant_of_zero_keep_their_spread():
    deviation = np.ldexp(rng.normal(size=(40, 1, 1)), -200)
    contrasts = make_contrasts(deviation * np.array([-1.0, 0.0, 1.0]))
    assert_allclose(contrasts.units.spread, np.sqrt(np.mean(deviation**2)))
    assert 1e-3 < contrasts.units.spread / contrasts.units.scale < 1e3


def test_members_that_agree_have_no_spread():
    contrasts = make_contrasts(np.ldexp(np.repeat(OUTPUTS[..., :1], 5, axis=-1), -200))
    assert_array_equal(contrasts.units.spread, 0)
    assert_array_equal(contrasts.residuals, 0)


def test_outputs_whose_variance_float64_does_not_hold_raise():
    with pytest.raises(ValueError, match=r"members' outputs must vary by 1e-65 .* smaller unit"):
        make_contrasts(1e-170 * OUTPUTS)
    make_contrasts(np.zeros((40, 2, 5)))
