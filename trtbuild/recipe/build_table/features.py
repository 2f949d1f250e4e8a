"""The timing cache, features that can be switched, plugins, and looking into an engine."""

from __future__ import annotations

from trtbuild.recipe.build_options import EVERYWHERE, Option, Value, Where
from trtbuild.recipe.build_table.rows import (
    BEFORE_11,
    NAMES,
    PATHS,
    PLUGINS,
    TIMING,
    since,
    switch,
    switches,
)

EDITABLE = Where((("10.8", None),), None, TIMING.why)

TIMING_CACHE = (
    switch(
        "timing_cache.enabled",
        "unflag",
        "DISABLE_TIMING_CACHE",
        "Whether timings of kernels are taken from earlier builds, and kept for later ones.",
        TIMING,
        default=True,
    ),
    Option(
        "timing_cache.file",
        "A timing cache in your repository, read instead of the one below the cache folder and "
        "not written; the build's own lies beside the engine as timing.cache. `{precision}` in it "
        "stands for the variant.",
        {"$ref": "#/$defs/path"},
        ("timing/{precision}.cache",),
        where=TIMING,
        own_call="config.set_timing_cache(cache, False)",
        own_needs=("IBuilderConfig.create_timing_cache", "IBuilderConfig.set_timing_cache"),
    ),
    switch(
        "timing_cache.error_on_miss",
        "flag",
        "ERROR_ON_TIMING_CACHE_MISS",
        "Whether the build fails where the timing cache lacks a timing, so that it is repeatable.",
        TIMING,
    ),
    switch(
        "timing_cache.editable",
        "flag",
        "EDITABLE_TIMING_CACHE",
        "Whether the timing cache is one whose tactics can be chosen by hand.",
        EDITABLE,
    ),
    Option(
        "timing_cache.tactics",
        "Holds the kernels that TensorRT chooses by their timings. `record`: choose anew, and "
        "write the choice beside the engine, as timing.cache and in build.json. `replay`: choose "
        "those of `file`, time what it lacks, and warn where any differs. `verified`: choose those "
        "of `file`; the build fails where any is missing, new or another.",
        {},
        ("verified",),
        where=EDITABLE,
        values={name: Value("") for name in ("record", "replay", "verified")},
        own_call="config.set_flag(BuilderFlag.EDITABLE_TIMING_CACHE)",
        own_needs=(
            "BuilderFlag.EDITABLE_TIMING_CACHE",
            "BuilderFlag.DISABLE_COMPILATION_CACHE",
            "BuilderFlag.ERROR_ON_TIMING_CACHE_MISS",
            "ITimingCache.queryKeys",
            "ITimingCache.query",
        ),
    ),
    switch(
        "compilation_cache",
        "unflag",
        "DISABLE_COMPILATION_CACHE",
        "Whether compiled kernels are kept in the timing cache too.",
        default=True,
    ),
)


FEATURES = (
    *switches(
        "tactic_sources",
        "tactic",
        (
            ("CUBLAS", "Kernels of cuBLAS.", BEFORE_11),
            ("CUBLAS_LT", "Kernels of cuBLASLt.", BEFORE_11),
            ("CUDNN", "Kernels of cuDNN.", BEFORE_11),
            ("EDGE_MASK_CONVOLUTIONS", "Convolutions that use edge mask tables.", EVERYWHERE),
            ("JIT_CONVOLUTIONS", "Convolutions that are compiled during the build.", EVERYWHERE),
        ),
    ),
    *switches(
        "preview",
        "preview",
        (
            (
                "PROFILE_SHARING_0806",
                "Contexts share the memory of optimization profiles.",
                BEFORE_11,
            ),
            (
                "ALIASED_PLUGIN_IO_10_03",
                "Plugins may write to their inputs.",
                since("10.3"),
            ),
            (
                "RUNTIME_ACTIVATION_RESIZE_10_10",
                "Contexts can shrink their memory to the shapes at hand.",
                since("10.10"),
            ),
            (
                "MULTIDEVICE_RUNTIME_10_16",
                "Engines that span several GPUs.",
                since("10.16", None, "11.0"),
            ),
        ),
    ),
    *switches(
        "parser_flags",
        "parser",
        (
            (
                "NATIVE_INSTANCENORM",
                "Instance normalization by TensorRT itself instead of its plugin.",
                EVERYWHERE,
            ),
            (
                "ENABLE_PLUGIN_OVERRIDE",
                "Plugins take the operators that they share a name with.",
                Where((("10.15", None),), None, PLUGINS.why),
            ),
            (
                "ENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA",
                "Asymmetric quantization with uint8, for DLA.",
                Where((("11.4", None),), None, "has no DLA"),
            ),
            (
                "REPORT_CAPABILITY_DLA",
                "The parser says which nodes a DLA core can take.",
                Where((("11.4", None),), None, "has no DLA"),
            ),
            (
                "ADJUST_FOR_DLA",
                "The parser chooses forms of operators that a DLA core can take.",
                Where((("11.4", None),), None, "has no DLA"),
            ),
        ),
    ),
)


PLUGIN_OPTIONS = (
    Option(
        "plugins.static",
        "Shared libraries that are loaded into the process and register their plugins there.",
        PATHS,
        (["plugins/libdecode.so"],),
        where=PLUGINS,
        own_call="ctypes.CDLL(path)",
        own_needs=("IPluginRegistry.load_library",),
    ),
    Option(
        "plugins.dynamic",
        "Shared libraries that TensorRT's plugin registry loads.",
        PATHS,
        (["plugins/libdecode.so"],),
        where=PLUGINS,
        own_call="registry.load_library(path)",
        own_needs=("IPluginRegistry.load_library",),
    ),
    Option(
        "plugins.serialize",
        "Shared libraries that are stored in the engine; they are loaded for the build too.",
        PATHS,
        (["plugins/libdecode.so"],),
        where=PLUGINS,
        own_call="config.plugins_to_serialize = [path, ...]",
        own_needs=("IBuilderConfig.plugins_to_serialize",),
    ),
)


LOOKING_IN = (
    Option(
        "profiling_verbosity",
        "What the engine tells of its layers: nothing, their names, or all details, from which "
        "`verify` reads the types that were obtained.",
        {},
        ("detailed",),
        "choice",
        "profiling_verbosity",
        "ProfilingVerbosity",
        EVERYWHERE,
        {name.lower(): Value(name) for name in ("NONE", "LAYER_NAMES_ONLY", "DETAILED")},
        default="detailed",
    ),
    Option(
        "debug_tensors",
        "Tensors whose values can be read while the engine runs, by name; they are kept from "
        "being fused away.",
        NAMES,
        (["/stem/Relu_output_0"],),
        own_call="network.mark_debug(tensor)",
        own_needs=("INetworkDefinition.mark_debug", "INetworkDefinition.is_debug_tensor"),
    ),
    switch(
        "debug_unfused_tensors",
        "own",
        "",
        "Whether all tensors that fusion leaves can be read while the engine runs.",
        since("10.12"),
        own_call="network.mark_unfused_tensors_as_debug_tensors()",
        own_needs=("INetworkDefinition.mark_unfused_tensors_as_debug_tensors",),
    ),
    switch(
        "debug_synchronously",
        "flag",
        "DEBUG",
        "Whether the engine waits after each layer, so that an error names the one at fault.",
    ),
    switch(
        "user_allocation",
        "flag",
        "REQUIRE_USER_ALLOCATION",
        "Whether the engine allocates nothing of its own while it runs, so that CUDA graphs can "
        "always capture it.",
        Where((), "1.4", "always lets the caller allocate"),
    ),
)
