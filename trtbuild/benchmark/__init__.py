"""Measuring engines as trtexec does: settings, the loop, statistics, results, baselines, gates."""
