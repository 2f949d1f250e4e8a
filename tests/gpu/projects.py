"""Projects of small models, built by the backend that is tested."""

from __future__ import annotations

from pathlib import Path

from tests.gpu.nets import Net
from tests.gpu.stages import BACKEND
from tests.project import Project


def project_of(net: Net, folder: Path, sections: str) -> Project:
    """A project whose recipe, tiny.yaml, is of a net; the sections follow the inputs."""
    project = Project(folder)
    net.save(project.folder / "tiny.onnx")
    inputs = "".join(
        f"  {item.name}: {{dtype: {item.dtype}, min: {list(item.min)}, opt: {list(item.opt)}, "
        f"max: {list(item.max)}}}\n"
        for item in net.inputs
    )
    head = "trtbuild: 1\nname: tiny\nmodel: {onnx: tiny.onnx}\n"
    project.write("tiny.yaml", f"{head}inputs:\n{inputs}build: {{backend: {BACKEND}}}\n{sections}")
    return project
