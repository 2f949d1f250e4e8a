"""Check a bundle: every digest, its signature, its provenance."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trtbuild.errors import ExitCode
from trtbuild.release.verify import verify_release
from trtbuild.report.release import print_verified

if TYPE_CHECKING:
    from trtbuild.release.rerun import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild verify-release` takes."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder or a .tar")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the public key that must have signed it"
    )
    parser.add_argument(
        "--rerun",
        action="store_true",
        help="then run every engine on its golden inputs, on this machine's GPU",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def main(options: argparse.Namespace) -> ExitCode:
    """Check, say exactly what is wrong, and only of a good bundle run what is in it."""
    key = None
    if options.key is not None:
        from trtbuild.release.signing import read_public_key

        key = read_public_key(options.key)
    verified = verify_release(options.bundle, key)
    runs: tuple[Run, ...] = ()
    if options.rerun and not verified.findings:
        from trtbuild.release.rerun import rerun

        runs = rerun(options.bundle, verified)
    print_verified(options.bundle, verified, runs, key_given=key is not None, as_json=options.json)
    good = not verified.findings and all(run.passed for run in runs)
    return ExitCode.DONE if good else ExitCode.FAILED
