"""The software bill of materials of a bundle, in CycloneDX 1.6."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from trtbuild.errors import MissingPackage
from trtbuild.release.archive import Entry
from trtbuild.release.documents import json_bytes
from trtbuild.release.gather import Gathered
from trtbuild.release.tools import Tool

NAMESPACE = uuid.UUID("6f0f7a52-4f0c-5d1f-9d5c-9d2c9a8f5b1e")
"""Of the serial numbers: one for each content, so that the same release has the same."""


def sbom(found: Sequence[Gathered], tools: Sequence[Tool], epoch: int) -> bytes:
    """A document that lists the models in a bundle, by recipe, and the tools that made them.

    Raises MissingPackage where cyclonedx-python-lib is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError as error:
        raise MissingPackage(
            "a release needs cyclonedx-python-lib, which is not installed",
            hint="pip install 'trtbuild[release]'",
        ) from error
    bom = Bom()
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    bundle = _model("bundle", ", ".join(recipe.name for recipe in found))
    bom.metadata.component = bundle
    lines = []
    for recipe in found:
        licence = recipe.rebuilder.recipe.package.licence or ""
        models = [entry for entry in recipe.entries if entry.role in ("engine", "onnx")]
        parts = [_file(entry, licence) for entry in models]
        for part in parts:
            bom.components.add(part)
        bom.register_dependency(bundle, parts)
        lines += [f"{entry.path} {entry.digest.hash}\n" for entry in models]
    for tool in tools:
        bom.components.add(_library(tool))
    bom.serial_number = uuid.uuid5(NAMESPACE, "".join(sorted(lines)))
    document: Any = json.loads(JsonV1Dot6(bom).output_as_string())
    return json_bytes(document)


def _model(reference: str, name: str, **more: Any) -> Any:
    from cyclonedx.model.component import Component, ComponentType

    kind = ComponentType.MACHINE_LEARNING_MODEL
    return Component(name=name, type=kind, bom_ref=reference, **more)


def _file(entry: Entry, licence: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType

    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=entry.digest.hash)]
    reference = f"file:{entry.path}"
    return _model(reference, entry.path, hashes=hashes, licenses=_licences(licence))


def _licences(text: str) -> list[Any]:
    """A licence as SPDX has it, where it is one of those or made of them; else by its name."""
    from cyclonedx import spdx
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression

    if not text:
        return []
    if known := spdx.fixup_id(text):
        return [DisjunctiveLicense(id=known)]
    expression = spdx.is_expression(text)
    return [LicenseExpression(text) if expression else DisjunctiveLicense(name=text)]


def _library(tool: Tool) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from packageurl import PackageURL

    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=tool.sha256)] if tool.sha256 else []
    return Component(
        name=tool.name,
        version=tool.version,
        type=ComponentType.LIBRARY,
        scope=ComponentScope.EXCLUDED,  # it made what is in the bundle, and is not in it
        bom_ref=tool.purl,
        purl=PackageURL.from_string(tool.purl),
        hashes=hashes,
        licenses=_licences(tool.licence),
        properties=[Property(name="trtbuild:digest_of", value=tool.of)],
    )
