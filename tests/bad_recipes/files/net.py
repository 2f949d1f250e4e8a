"""What the bad recipes refer to."""


def make_net() -> None:
    """A factory."""


def samples() -> None:
    """A generator of samples, and also a hook."""
