"""Scripts of every shell, programs and logs: which commands they hold, with which words."""

from __future__ import annotations

import pytest

from trtbuild.errors import UsageError
from trtbuild.recipe.trtexec.read import lines_in


def commands(text: str) -> list[str]:
    """The options of each command in a text, as one line each."""
    return [" ".join(map(str, line.call().options)) for line in lines_in(text)]


SCRIPT = """#!/bin/bash
# trtexec --onnx=not-this.onnx
MODEL=models/net.onnx
export BATCH="8"
/usr/src/tensorrt/bin/trtexec --onnx=$MODEL --fp16 \\
    --minShapes='in:0':1x3x8x8 --optShapes="in:0":${BATCH}x3x8x8 \\
    --maxShapes=in:0:16x3x8x8 2>&1 | tee log.txt
tensorrt_rtx --onnx=other.onnx --computeCapabilities=86 > log
"""
LOG = """&&&& RUNNING TensorRT.trtexec [TensorRT v101601] [b11] # trtexec --onnx=a.onnx --int8
[11/22/2026-20:00:00] [I] === Model Options ===
&&&& PASSED TensorRT.trtexec [TensorRT v101601] # trtexec --onnx=a.onnx --int8
"""


def test_the_commands_of_a_script_are_read_as_the_shell_reads_them() -> None:
    first, second = (line.call() for line in lines_in(SCRIPT))
    assert [str(option) for option in first.options] == [
        "--onnx=models/net.onnx",
        "--fp16",
        "--minShapes=in:0:1x3x8x8",
        "--optShapes=in:0:8x3x8x8",
        "--maxShapes=in:0:16x3x8x8",
    ]
    assert (first.backend, second.backend) == ("tensorrt", "tensorrt_rtx")


def test_a_log_is_read_by_its_running_line() -> None:
    (call,) = (line.call() for line in lines_in(LOG))
    assert [str(option) for option in call.options] == ["--onnx=a.onnx", "--int8"]


def test_a_variable_without_a_value_and_a_text_without_a_command_are_refused() -> None:
    with pytest.raises(UsageError, match="its variable has no value"):
        lines_in("trtexec --onnx=$MODEL")[0].call()
    with pytest.raises(UsageError, match="there is no trtexec command"):
        lines_in("echo hello")


BATCH = r"""@echo off
rem trtexec --onnx=not-this.onnx
set MODEL=C:\models\net.onnx
"C:\Program Files\TensorRT\bin\trtexec.exe" --onnx=%MODEL% ^
    --fp16 ^
    --shapes=x:2x4
tensorrt_rtx --onnx=%OTHER%
"""


def test_a_script_for_windows_is_read_as_its_shell_reads_it() -> None:
    first, second = lines_in(BATCH.replace("\n", "\r\n"))
    assert [str(option) for option in first.call().options] == [
        "--onnx=C:/models/net.onnx",
        "--fp16",
        "--shapes=x:2x4",
    ]
    with pytest.raises(UsageError, match="--onnx=%OTHER%: its variable has no value"):
        second.call()


def test_a_value_that_no_recipe_has_need_not_be_known() -> None:
    (line,) = lines_in("%.plan: %.onnx\n\ttrtexec --onnx=a.onnx --saveEngine=$@ --fp16\n")
    assert [str(option) for option in line.call().options][-1] == "--fp16"


IN_ORDER = {
    "M=a.onnx\ntrtexec --onnx=$M\nM=b.onnx\ntrtexec --onnx=$M": ["--onnx=a.onnx", "--onnx=b.onnx"],
    "D=models; ONNX=$D/yolo.onnx\ntrtexec --onnx=${ONNX}": ["--onnx=models/yolo.onnx"],
    "M=${1:-a.onnx} && trtexec --onnx=$M": ["--onnx=a.onnx"],
    'O="--onnx=a.onnx"\nO+=" --fp16"\ntrtexec $O': ["--onnx=a.onnx --fp16"],
    'A=(\n  --onnx=a.onnx # this\n  # not\n  --fp16\n)\nA+=(--int8)\ntrtexec "${A[@]}"': [
        "--onnx=a.onnx --fp16 --int8"
    ],
    "TRTEXEC=$(which trtexec)\n$TRTEXEC --onnx=a": ["--onnx=a"],
    "T=/usr/src/tensorrt/bin/trtexec\n[ -x $T ] || exit 1\n$T --onnx=a": ["--onnx=a"],
    "if [ -z $M ]; then\n  M=a.onnx\nfi\ntrtexec --onnx=$M": ["--onnx=a.onnx"],
    'CMD="trtexec --onnx=a"\n$CMD --fp16': ["--onnx=a --fp16"],
    "M=a\nM=$(dirname $(which b))\nM=c\ntrtexec --onnx=$M": ["--onnx=c"],
    "ENV D=/m M=a.onnx\nENV N b.onnx\nARG F=--fp16\nRUN trtexec --onnx=$D/$M $F && \\\n"
    "    trtexec --onnx=$N": ["--onnx=/m/a.onnx --fp16", "--onnx=b.onnx"],
    'CMD ["trtexec", "--onnx=a b.onnx", "--fp16"]': ["--onnx=a b.onnx --fp16"],
    "M := a.onnx\nall:\n\t@trtexec --onnx=$(M)": ["--onnx=a.onnx"],
    "@echo off\nset D=m\nset M=%D%\\a.onnx\ntrtexec --onnx=%M%\nset M=b.onnx\ntrtexec --onnx=%m%": [
        "--onnx=m/a.onnx",
        "--onnx=b.onnx",
    ],
    '$M = "C:\\m\\a.onnx"\n& "C:\\T T\\trtexec.exe" `\n  --onnx=$m `\n  --fp16\n': [
        "--onnx=C:/m/a.onnx --fp16"
    ],
}


@pytest.mark.parametrize("text", IN_ORDER)
def test_a_variable_has_the_value_that_holds_at_its_line(text: str) -> None:
    assert commands(text) == IN_ORDER[text]


@pytest.mark.parametrize(
    "text",
    [
        "B=4\nfor B in 1 8; do trtexec --onnx=a --shapes=x:$B; done",
        "M=a\nif [ $1 ]; then M=b; fi\ntrtexec --onnx=$M",
        "M=a\ncase $1 in\n  x) M=b ;;\n  *) M=c ;;\nesac\ntrtexec --onnx=$M",
        "M=a\nM=$(ls *.onnx)\ntrtexec --onnx=$M",
        "M=a\nread -r M\ntrtexec --onnx=$M",
        "trtexec --onnx=a $EXTRA",
        'trtexec --onnx=a "$@"',
        "@echo off\ntrtexec --onnx=%~dp0a.onnx",
        "@echo off\ntrtexec --onnx=%1",
    ],
)
def test_a_variable_whose_value_is_not_sure_is_refused_with_its_line(text: str) -> None:
    (line,) = lines_in(text)
    with pytest.raises(UsageError, match="its variable has no value here") as caught:
        line.call()
    assert caught.value.where.startswith("line ")


@pytest.mark.parametrize(
    "text",
    [
        "TRTEXEC=/usr/src/tensorrt/bin/trtexec",
        "which trtexec",
        "alias t='trtexec --fp16'",
        "[ -x /opt/trtexec ]",
        "echo trtexec version",
        'echo "trtexec --onnx=a"',
        "tar xf x.tar trtexec",
        "trtexec --help | less",
        "cp a --target=b/trtexec",
    ],
)
def test_a_name_that_is_not_called_is_no_command(text: str) -> None:
    assert commands(f"{text}\ntrtexec --onnx=a --fp16") == ["--onnx=a --fp16"]
    with pytest.raises(UsageError, match="there is no trtexec command in this") as caught:
        lines_in(f"\n\n{text}\n")
    assert "line 3" in caught.value.hint


INSIDE = {
    "bash -c 'cd m && trtexec --onnx=a --fp16'": ["--onnx=a --fp16"],
    "OUT=$(trtexec --onnx=a --fp16 | grep GPU)": ["--onnx=a --fp16"],
    'docker run --rm img bash -c "trtexec --onnx=a"': ["--onnx=a"],
    """import subprocess
M = "a.onnx"
subprocess.run(["trtexec", f"--onnx={M}", "--fp16"], check=True)
subprocess.run("trtexec --onnx=b.onnx".split())
""": ["--onnx=a.onnx --fp16", "--onnx=b.onnx"],
    "import os\nos.system('trtexec --onnx=a '\n  '--int8')": ["--onnx=a --int8"],
}


@pytest.mark.parametrize("text", INSIDE)
def test_a_command_in_a_text_or_a_list_is_found(text: str) -> None:
    assert commands(text) == INSIDE[text]


def test_what_a_program_computes_is_refused() -> None:
    text = "import os\nfor m in models:\n    os.system(f'trtexec --onnx={m}.onnx')\n"
    with pytest.raises(UsageError, match=r"--onnx=\$m\.onnx: its variable has no") as caught:
        lines_in(text)[0].call()
    assert caught.value.where == "line 3"


WINDOWS = {
    r"trtexec --onnx=C:\models\yolo.onnx --fp16": "--onnx=C:/models/yolo.onnx --fp16",
    r"trtexec --onnx=models\1\net.onnx": "--onnx=models/1/net.onnx",
    r"&&&& RUNNING TensorRT.trtexec [TensorRT v101601] # trtexec.exe --onnx=D:\m\new\yolo.onnx": (
        r"--onnx=D:\m\new\yolo.onnx"
    ),
    r"&&&& RUNNING TensorRT.trtexec # C:\Tensor RT\bin\trtexec.exe --onnx=D:\my m\a.onnx --fp16": (
        r"--onnx=D:\my m\a.onnx --fp16"
    ),
}


@pytest.mark.parametrize("text", WINDOWS)
def test_the_folders_of_a_windows_path_are_kept(text: str) -> None:
    assert commands(text) == [WINDOWS[text]]


def test_a_space_of_a_posix_shell_stays_escaped() -> None:
    assert commands(r"trtexec --onnx=my\ net.onnx --fp16") == ["--onnx=my net.onnx --fp16"]
