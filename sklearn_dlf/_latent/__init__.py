"""Algebra of the latent factor models; no network in it."""
