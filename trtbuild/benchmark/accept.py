"""The accepted results: a file to commit, which later results are held against.

Pure, on plain documents. A result is accepted for its variant, GPU model and settings, so that
machines with other GPUs keep theirs beside it.
"""

from __future__ import annotations

from typing import Any

from trtbuild.recipe.model import Options

FORMAT = 1
_CARRIED = ("throughput", "samples_per_second", "gpu_memory", "metrics", "shapes", "name")

# Settings that change what is written, not what is measured.
_REPORTING = (
    "percentiles",
    "layer_profile",
    "time_deserialize",
    "time_refit",
    "export_times",
    "export_outputs",
    "export_layers",
)


def accept(
    document: Options | None, variant: str, result: Options, *, engine_path: str = ""
) -> Options:
    """The accepted results with this one in the place of the one before it.

    `variant` names what was measured, as "digits-cnn fp16". Entries are sorted, so that the file
    changes only where a result did. Raises ValueError for a document of a newer format.
    """
    entries = [entry for entry in _entries(document) if not _same(entry, variant, result)]
    device: Any = result["device"]
    engine: Any = result["engine"]
    points: Any = result["points"]
    entries.append(
        {
            "variant": variant,
            "gpu": device["name"],
            "settings": measured_settings(result),
            "driver": device["driver"],
            "engine": {
                "digest": engine["digest"],
                "backend": engine["backend"],
                "version": engine["version"],
                **({"path": engine_path} if engine_path else {}),
            },
            "points": [{key: point[key] for key in _CARRIED} for point in points],
        }
    )
    entries.sort(key=lambda entry: (entry["variant"], entry["gpu"], str(entry["settings"])))
    return {"format": FORMAT, "accepted": entries}


def find_accepted(
    document: Options | None, variant: str, gpu: str, settings: Options
) -> Options | None:
    """The accepted entry for a variant on a GPU model with these (measured) settings."""
    for entry in _entries(document):
        if (entry["variant"], entry["gpu"], entry["settings"]) == (variant, gpu, settings):
            return dict(entry)
    return None


def measured_settings(result: Options) -> Options:
    """The settings of a result that decide what its numbers mean."""
    settings: Any = result["settings"]
    return {key: value for key, value in settings.items() if key not in _REPORTING}


def _entries(document: Options | None) -> list[Any]:
    if document is None:
        return []
    if document.get("format") != FORMAT:
        raise ValueError(
            f"the accepted results have format {document.get('format')}, this trtbuild reads "
            f"{FORMAT}"
        )
    found: Any = document["accepted"]
    return list(found)


def _same(entry: Any, variant: str, result: Options) -> bool:
    device: Any = result["device"]
    key = (variant, device["name"], measured_settings(result))
    return (entry["variant"], entry["gpu"], entry["settings"]) == key
