"""Tests of the stages, run as the child process runs them."""
