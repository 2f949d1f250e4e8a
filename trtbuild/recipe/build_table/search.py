"""How the builder searches, and how much memory it may use."""

from __future__ import annotations

from trtbuild.recipe.build_options import Option, Value, Where
from trtbuild.recipe.build_table.rows import DLA, SIZE, integer, pool, since, switch

SEARCH = (
    Option(
        "optimization_level",
        "How long the builder searches, from 0 to 5. The backend's own level where it is left out.",
        integer(0, 5),
        (3,),
        "attribute",
        "builder_optimization_level",
    ),
    Option(
        "max_tactics",
        "How many tactics the builder times for a layer; its own choice where it is left out.",
        integer(1),
        (100,),
        "attribute",
        "max_num_tactics",
        where=since("10.4"),
    ),
    Option(
        "avg_timing_iterations",
        "How many times a tactic is run for the average that it is judged by. Without effect on "
        "TensorRT-RTX.",
        integer(1),
        (8,),
        "attribute",
        "avg_timing_iterations",
    ),
    Option(
        "tiling_level",
        "How long the builder searches for ways to keep intermediate results in the L2 cache.",
        {},
        ("fast",),
        "choice",
        "tiling_optimization_level",
        "TilingOptimizationLevel",
        since("10.8"),
        {name.lower(): Value(name) for name in ("NONE", "FAST", "MODERATE", "FULL")},
        default="none",
    ),
    Option(
        "l2_limit_for_tiling",
        "How much of the L2 cache tiling may count on; its own estimate where it is left out.",
        SIZE,
        ("32MiB",),
        "attribute",
        "l2_limit_for_tiling",
        where=since("10.8"),
    ),
    Option(
        "max_aux_streams",
        "How many further CUDA streams one inference may spread over; 0 keeps it on one. "
        "TensorRT-RTX warns that it uses none.",
        integer(0, 64),
        (0,),
        "attribute",
        "max_aux_streams",
    ),
    Option(
        "build_route",
        "Undocumented knobs of the builder, as `trtexec --helpBuildRoute` lists them.",
        {"type": "string", "minLength": 1},
        ("-knob=value",),
        "attribute",
        "build_route",
        where=Where((("11.1", None),), None, "offers no build routes"),
    ),
)


MEMORY = (
    pool(
        "workspace",
        "WORKSPACE",
        "The most scratch memory that a layer may use: bytes, or a number with KiB, MiB, GiB or "
        "TiB (powers of 1024), or with kB, MB, GB or TB (of 1000). The backend's own limit where "
        "it is left out.",
        "1GiB",
    ),
    pool(
        "memory_pools.tactic_dram",
        "TACTIC_DRAM",
        "The most device memory that a tactic may use while the builder times it.",
        "8GiB",
    ),
    pool(
        "memory_pools.tactic_shared_memory",
        "TACTIC_SHARED_MEMORY",
        "The most shared memory that a kernel may use.",
        "48KiB",
    ),
    pool(
        "memory_pools.dla_managed_sram",
        "DLA_MANAGED_SRAM",
        "Software-managed RAM of a DLA core: a power of two of at least 4 KiB.",
        "1MiB",
        DLA,
    ),
    pool(
        "memory_pools.dla_local_dram",
        "DLA_LOCAL_DRAM",
        "Host memory that a DLA core shares data between layers in: a power of two.",
        "1GiB",
        DLA,
    ),
    pool(
        "memory_pools.dla_global_dram",
        "DLA_GLOBAL_DRAM",
        "Host memory that a DLA core keeps weights and metadata in: a power of two.",
        "512MiB",
        DLA,
    ),
    switch(
        "monitor_memory",
        "flag",
        "MONITOR_MEMORY",
        "Whether the log tells how much memory the build uses.",
        since("10.6"),
    ),
)
