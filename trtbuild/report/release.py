"""What is told of locks, bundles and rebuilds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trtbuild.release.rebuild import Rebuilt
    from trtbuild.release.rerun import Run
    from trtbuild.release.verify import Verified


def verified_document(
    bundle: Path, verified: Verified, runs: Sequence[Run], *, key_given: bool
) -> dict[str, Any]:
    """What a check of a bundle found, as JSON."""
    return {
        "format": 1,
        "bundle": str(bundle),
        "good": not verified.findings and all(run.passed for run in runs),
        "findings": [{"where": f.where, "what": f.what} for f in verified.findings],
        "files": verified.files,
        "signer": verified.signer,
        "signature_checked": key_given and bool(verified.signer),
        "runs": [
            {"name": run.name, "cases": run.cases, "problems": list(run.problems)} for run in runs
        ],
    }


def print_verified(
    bundle: Path, verified: Verified, runs: Sequence[Run], *, key_given: bool
) -> None:
    """Every finding by its file or field, or what the bundle holds."""
    for finding in verified.findings:
        print(f"{finding.where}: {finding.what}")
    if verified.findings:
        count = len(verified.findings)
        print(f"{bundle}: not to be trusted, {count} finding{'s' if count > 1 else ''}")
        return
    print(f"{bundle}: {verified.files} files are as the manifest and the provenance say")
    _print_signer(verified, key_given=key_given)
    for item in verified.manifest["allowed"]:
        print(f"  released although {item['name']}: {item['what']}")
    for run in runs:
        state = "; ".join(run.problems) or f"{run.cases} golden cases are within tolerance"
        print(f"  {run.name}: {state}")


def _print_signer(verified: Verified, *, key_given: bool) -> None:
    if not verified.signer:
        print("  unsigned: this says that it is whole, not whose it is")
    elif key_given:
        print(f"  signed by the key {verified.signer[:16]}, which was given")
    else:
        print(f"  signed by the key {verified.signer[:16]}; give it with --key to check that")


def print_rebuilt(found: Sequence[Rebuilt]) -> None:
    """The level of each variant, and the first thing that differs."""
    for item in found:
        print(f"{item.recipe} {item.variant}: {item.level} in {item.rounds} rounds")
        for name, level in item.levels.items():
            mark = {True: "yes", False: "no ", None: "-  "}[level.reached]
            print(f"  {name} {mark} {level.note}")


def rebuilt_document(found: Sequence[Rebuilt]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "format": 1,
        "variants": [
            {"recipe": item.recipe, "variant": item.variant, **item.document()} for item in found
        ],
    }
