"""Check a bundle: every digest, its signature, its provenance."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trtbuild.errors import ExitCode
from trtbuild.release.verify import verify_release
from trtbuild.report.release import print_verified, verified_document

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
        from trtbuild.release.signing import holds_private_key, read_public_key

        key = read_public_key(options.key)
        if holds_private_key(options.key):
            print(  # noqa: T201 - whoever checks should not have it, and is told at once
                f"warning: {options.key} is the private key, with which anybody can sign; to check "
                "takes the public one: openssl pkey -in KEY -pubout",
                file=sys.stderr,
            )
    verified = verify_release(options.bundle, key)
    runs: tuple[Run, ...] = ()
    if options.rerun and not verified.findings:
        from trtbuild.release.rerun import rerun

        runs = rerun(options.bundle, verified)
    good = not verified.findings and all(run.passed for run in runs)
    if options.json:
        from trtbuild.report.document import print_json

        found = verified_document(options.bundle, verified, runs, key_given=key is not None)
        print_json(found, ExitCode.DONE if good else ExitCode.FAILED)
    else:
        print_verified(options.bundle, verified, runs, key_given=key is not None)
    return ExitCode.DONE if good else ExitCode.FAILED
