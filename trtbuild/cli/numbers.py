"""Numbers as arguments of commands: what is wrong with one is said in a sentence."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """A whole number of 1 or more. Raises ArgumentTypeError, as argparse wants it."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value


def rounds(text: str) -> int:
    """How often something long is done: from 1 to 1000."""
    value = count(text)
    if value > 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 1000")
    return value


def seconds(text: str) -> float:
    """A duration of more than 0 seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value
