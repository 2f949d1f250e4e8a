"""What the engine holds: shapes, layouts, weights, numerics."""

from __future__ import annotations

from trtbuild.recipe.build_options import Option, Value
from trtbuild.recipe.build_table.rows import NAMES, since, switch

_REFIT = "to build a refittable engine"


SHAPES = (
    Option(
        "profiles",
        "Optimization profiles instead of the one that `inputs` describes, in order: each maps "
        "inputs to `min`, `opt` and `max`, within those of `inputs`, which also hold for inputs "
        "that it leaves out.",
        {
            "type": "array",
            "x-expected": "a list of mappings from inputs to min, opt and max",
            "minItems": 1,
            "maxItems": 64,
            "items": {
                "type": "object",
                "x-expected": "a mapping from inputs to min, opt and max",
                "additionalProperties": {"$ref": "#/$defs/profile_shapes"},
            },
        },
        (
            [
                {"image": {"min": [1, 1, 8, 8], "opt": [1, 1, 8, 8], "max": [1, 1, 8, 8]}},
                {"image": {"min": [2, 1, 8, 8], "opt": [16, 1, 8, 8], "max": [64, 1, 8, 8]}},
            ],
        ),
        own_call="config.add_optimization_profile(profile)",
        own_needs=("IBuilderConfig.add_optimization_profile",),
    ),
    Option(
        "io_formats",
        "Memory layouts that inputs and outputs may have, by tensor: one of them is chosen. Their "
        "types are those of the graph (`precisions`, `keep_io_types`).",
        {
            "type": "object",
            "x-expected": "a mapping from tensors to lists of formats",
            "minProperties": 1,
            "additionalProperties": {
                "type": "array",
                "x-expected": "a list of formats",
                "minItems": 1,
                "uniqueItems": True,
                "items": {
                    "enum": [
                        *("linear", "chw2", "chw4", "chw16", "chw32", "hwc", "hwc8", "hwc16"),
                        *("dhwc", "dhwc8", "cdhw32", "dla_linear", "dla_hwc4"),
                    ]
                },
            },
        },
        ({"image": ["hwc8"], "logits": ["linear"]},),
        own_call="tensor.allowed_formats = 1 << int(TensorFormat...)",
        own_needs=("ITensor.allowed_formats", "TensorFormat.LINEAR"),
    ),
    Option(
        "mark_outputs",
        "Tensors of the parsed network that become outputs too, by name.",
        NAMES,
        (["features"],),
        own_call="network.mark_output(tensor)",
        own_needs=("INetworkDefinition.mark_output",),
    ),
    Option(
        "decomposable_attentions",
        "Attention operators that may become several kernels where no fused one takes them, by "
        "name or pattern with `*`; the build fails for them else.",
        {
            "type": "array",
            "x-expected": "a list of names or patterns of attention operators",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1},
        },
        (["/encoder/*"],),
        where=since("10.14"),
        own_call="attention.decomposable = True",
        own_needs=("IAttention.decomposable", "IAttentionInputLayer.attention"),
    ),
)


WEIGHTS = (
    Option(
        "refit",
        "Which weights of the engine can be exchanged: `all`, those in `refit_weights` "
        "(`individual`), or all for the same values only (`identical`).",
        {},
        ("all",),
        "flags",
        own_needs=("BuilderFlag.REFIT", "BuilderFlag.REFIT_IDENTICAL"),
        values={
            "none": Value(""),
            "individual": Value("REFIT_INDIVIDUAL", since("10.2")),
            "identical": Value("REFIT_IDENTICAL"),
            "all": Value("REFIT"),
        },
        default="none",
        on_rtx=_REFIT,
    ),
    Option(
        "refit_weights",
        "The weights that `refit: individual` makes exchangeable, by name.",
        {**NAMES, "x-expected": "a list of names of weights"},
        (["head.weight"],),
        where=since("10.2"),
        own_call="network.mark_weights_refittable(name)",
        own_needs=("INetworkDefinition.mark_weights_refittable",),
        requires="refit",
    ),
    switch(
        "strip_weights",
        "flag",
        "STRIP_PLAN",
        "Whether the engine is stored without its weights, which must be put in before it runs; "
        "with `refit: all` any weights, else those that it was built with.",
        on_rtx="to build an engine without its weights",
    ),
    switch(
        "weight_streaming",
        "flag",
        "WEIGHT_STREAMING",
        "Whether weights may stay in host memory and be streamed in as they are needed.",
    ),
    switch(
        "sparsity",
        "flag",
        "SPARSE_WEIGHTS",
        "Whether kernels for weights of structured sparsity (2 of 4 are zero) are tried.",
    ),
)


NUMERICS = (
    switch(
        "tf32",
        "flag",
        "TF32",
        "Whether fp32 layers may compute in TF32, with a mantissa of 10 bits instead of 23.",
        default=True,
    ),
    switch(
        "strict_nans",
        "flag",
        "STRICT_NANS",
        "Whether NaN goes through every operation as IEEE 754 has it.",
        since("10.6"),
    ),
    switch(
        "distributive_independence",
        "flag",
        "DISTRIBUTIVE_INDEPENDENCE",
        "Whether a result never depends on its place along axes of the network's operations, "
        "such as the place in a batch.",
        since("10.12"),
    ),
    switch(
        "direct_io",
        "flag",
        "DIRECT_IO",
        "Whether the build fails where inputs or outputs would have to be reformatted.",
    ),
)
