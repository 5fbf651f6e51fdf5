"""The estimators, and their `fit` step by step."""
