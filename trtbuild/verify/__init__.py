"""Judging a variant: each step against the source model, limits, task metrics, the verdict."""
