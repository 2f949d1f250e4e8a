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
from trtbuild.release.tools import Tool

NAMESPACE = uuid.UUID("6f0f7a52-4f0c-5d1f-9d5c-9d2c9a8f5b1e")
"""Of the serial numbers: one for each content, so that the same release has the same."""


def sbom(entries: Sequence[Entry], tools: Sequence[Tool], epoch: int) -> bytes:
    """A document that lists the models in a bundle and the tools that made them.

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
    models = [entry for entry in entries if entry.role in ("engine", "onnx")]
    for entry in models:
        bom.components.add(_model(entry))
    for tool in tools:
        bom.components.add(_library(tool))
    content = "".join(sorted(f"{entry.path} {entry.digest.hash}\n" for entry in models))
    bom.serial_number = uuid.uuid5(NAMESPACE, content)
    document: Any = json.loads(JsonV1Dot6(bom).output_as_string())
    return json_bytes(document)


def _model(entry: Entry) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return Component(
        name=entry.path,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"file:{entry.path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=entry.digest.hash)],
    )


def _library(tool: Tool) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
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
        licenses=[DisjunctiveLicense(name=tool.licence)] if tool.licence else [],
        properties=[Property(name="trtbuild:digest_of", value=tool.of)],
    )
