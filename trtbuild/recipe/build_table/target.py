"""What the engine is to run on."""

from __future__ import annotations

from trtbuild.recipe.build_options import EVERYWHERE, Option, Value, Where
from trtbuild.recipe.build_table.rows import ANY_GPU, DLA, LEAN, integer, since, switch

TARGET = (
    Option(
        "compute_capabilities",
        "The GPUs that the engine is built for, by compute capability (75, 80, 86, 89, 120 or "
        "121), or `current` alone for the GPU at hand. TensorRT-RTX builds for all that it "
        "supports from 80 on where this is left out.",
        {
            "type": "array",
            "x-expected": "a list of compute capabilities",
            "uniqueItems": True,
            "items": {
                "enum": [
                    *(75, 80, 86, 89, 120, 121),
                    *("75", "80", "86", "89", "120", "121", "current"),
                ],
                "x-expected": "one of 75, 80, 86, 89, 120, 121, current",
            },
        },
        ([86, 89], ["current"]),
        where=Where(
            (),
            why="builds for the GPU that it runs on",
            instead="leave compute_capabilities out, or choose tensorrt_rtx",
        ),
        items={"121": Value("SM121", Where((), "1.5"))},
        default=[],
        own_call="config.set_compute_capability(ComputeCapability..., index)",
        own_needs=("ComputeCapability", "IBuilderConfig.num_compute_capabilities"),
    ),
    Option(
        "hardware_compatibility",
        "The GPUs that the engine also runs on.",
        {},
        ("ampere_plus",),
        "choice",
        "hardware_compatibility_level",
        "HardwareCompatibilityLevel",
        ANY_GPU,
        {
            "none": Value("NONE"),
            "ampere_plus": Value("AMPERE_PLUS"),
            "same_compute_capability": Value("SAME_COMPUTE_CAPABILITY", since("10.9", None)),
        },
        default="none",
    ),
    Option(
        "runtime_platform",
        "The operating system that the engine runs on.",
        {},
        ("windows_amd64",),
        "choice",
        "runtime_platform",
        "RuntimePlatform",
        Where(
            (("10.2", None),),
            None,
            "makes engines that run on Linux and Windows alike",
        ),
        {name.lower(): Value(name) for name in ("SAME_AS_BUILD", "WINDOWS_AMD64")},
        default="same_as_build",
    ),
    switch(
        "version_compatible",
        "flag",
        "VERSION_COMPATIBLE",
        "Whether later versions of TensorRT can run the engine, through the lean runtime in it.",
        LEAN,
    ),
    switch(
        "exclude_lean_runtime",
        "flag",
        "EXCLUDE_LEAN_RUNTIME",
        "Whether the lean runtime is left out of a version-compatible engine.",
        LEAN,
        requires="version_compatible",
    ),
    Option(
        "engine_capability",
        "The runtime that the engine is for: `dla_standalone` is a loadable for a DLA core alone.",
        {},
        ("dla_standalone",),
        "choice",
        "engine_capability",
        "EngineCapability",
        EVERYWHERE,
        {
            "standard": Value("STANDARD"),
            "safety": Value("SAFETY", Where(rtx=None, why="has no safety runtime")),
            "dla_standalone": Value("DLA_STANDALONE", DLA),
        },
        default="standard",
    ),
    Option(
        "device",
        "Which CUDA device builds and measures, by its number, where a machine has several.",
        integer(0, 63),
        (1,),
    ),
)


DLA_OPTIONS = (
    Option(
        "dla.core",
        "The DLA core that layers run on wherever they can.",
        integer(0, 15),
        (0,),
        where=DLA,
        own_call="config.default_device_type = DeviceType.DLA; config.DLA_core",
        own_needs=("IBuilderConfig.DLA_core", "DeviceType.DLA"),
    ),
    switch(
        "dla.gpu_fallback",
        "flag",
        "GPU_FALLBACK",
        "Whether the GPU takes the layers that the DLA cannot.",
        DLA,
        requires="dla.core",
    ),
    Option(
        "dla.layers",
        "Where single layers run, by name or pattern with `*`: `gpu` or `dla`.",
        {
            "type": "object",
            "x-expected": "a mapping from layers to gpu or dla",
            "minProperties": 1,
            "additionalProperties": {"enum": ["gpu", "dla"]},
        },
        ({"/head/*": "gpu"},),
        where=DLA,
        own_call="config.set_device_type(layer, DeviceType...)",
        own_needs=("IBuilderConfig.set_device_type", "IBuilderConfig.get_device_type"),
    ),
)
