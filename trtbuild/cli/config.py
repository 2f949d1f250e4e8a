"""Print each setting with where it comes from."""

from __future__ import annotations

import argparse

from trtbuild.cli.common import add_json, add_places, add_remote
from trtbuild.cli.settings import SETTINGS, age_seconds, resolve, shown, size_bytes
from trtbuild.errors import ExitCode

UNITS: dict[object, str] = {age_seconds: " s", size_bytes: " bytes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild config` takes."""
    add_remote(parser)
    add_places(parser)
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Print the settings that a run would have here."""
    values = resolve(options)
    if options.json:
        from trtbuild.report.document import print_json

        settings = {
            setting.name: {
                "value": None
                if values[setting.name].value is None
                else shown(values[setting.name].value),
                "origin": values[setting.name].origin,
                "variable": setting.variable,
                "meaning": setting.meaning,
            }
            for setting in SETTINGS
        }
        print_json({"format": 1, "settings": settings}, ExitCode.DONE)
        return ExitCode.DONE
    for setting in SETTINGS:
        value = values[setting.name]
        unit = UNITS.get(setting.read, "") if value.value is not None else ""
        text = shown(value.value) + unit
        print(f"{setting.name:<15} {text:<32} {value.origin}")  # noqa: T201 - the command's whole result
    return ExitCode.DONE
