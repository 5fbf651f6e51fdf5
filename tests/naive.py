"""Dense reference mathematics: slow, plain, and written from the model's definition alone."""

import numpy as np
from scipy.linalg import block_diag, helmert
from scipy.stats import multivariate_normal


def covariance(loadings, noise_variance, noise_correlation=None):
    """Return the (n_entries, n_entries) covariance of one member.

    The noise may have correlations (n_rows, n_outputs, n_outputs) within each row.
    """
    noise = np.diag(np.broadcast_to(noise_variance, len(loadings)))
    if noise_correlation is not None:
        noise = np.sqrt(noise) @ block_diag(*noise_correlation) @ np.sqrt(noise)
    return loadings @ loadings.T + noise


def separable_loadings(mixing, loadings):
    """Return the full loadings (n_rows * n_outputs, n_outputs * q) of L Z phi, for Z row by row."""
    rows = [np.kron(mixing, phi) for phi in loadings]
    return np.concatenate(rows)


def independent_contrasts(residuals):
    """Return the independent draws (n_entries, n_members - 1) behind the residuals."""
    return residuals @ helmert(residuals.shape[1]).T


def restricted_log_likelihood(loadings, residuals, noise_variance):
    """Return the mean Gaussian log-density of the independent contrasts, per entry."""
    contrasts = independent_contrasts(residuals)
    density = multivariate_normal(cov=covariance(loadings, noise_variance))
    return density.logpdf(contrasts.T).mean() / len(residuals)


def posterior(loadings, residuals, noise_variance):
    """Return latent mean (n_members, q) and covariance (q, q), conditioning the joint Gaussian."""
    total = covariance(loadings, noise_variance)
    gain = loadings.T @ np.linalg.inv(total)
    return (gain @ residuals).T, np.eye(loadings.shape[1]) - gain @ loadings


def expected_complete_log_likelihood(loadings, residuals, noise_variance, latent_mean, latent_cov):
    """Return E[log p(contrasts, z)] up to terms without loadings or noise, per entry."""
    n_entries, n_members = residuals.shape
    misfit = np.sum((residuals - loadings @ latent_mean.T) ** 2) / (n_members - 1)
    misfit += np.trace(loadings @ latent_cov @ loadings.T)
    return -0.5 * (np.log(2 * np.pi * noise_variance) + misfit / (n_entries * noise_variance))


def noise_correlation(noise_shares):
    """Return correlations (n, c, c) of a noise with shares (n, c, r) of factors of its own."""
    correlation = noise_shares @ noise_shares.swapaxes(1, 2)
    outputs = np.arange(correlation.shape[1])
    correlation[:, outputs, outputs] = 1.0
    return correlation


def make_common(student):
    """Let all factors of a student be common to all rows, and its noise independent between rows.

    The dense formulas of this module hold then.
    """
    network = student.student_
    network.factor_shares.fill_(1.0)
    network.row_correlation[[0, 2]] = 0.0
    return student
