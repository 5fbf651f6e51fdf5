"""Algebra of the latent factor models, without networks.

Comments cite equations by the numbers of ``docs/equations.md``, for example "Eq. (6)".
"""
