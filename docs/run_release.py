"""Runs an engine of a release on its golden inputs, without trtbuild: run_release.py BUNDLE"""
import hashlib, json, pathlib, sys, numpy as np

def choose(bundle, capability):
    """The first variant for a GPU of this compute capability, such as "89", and its recipe."""
    for recipe in json.loads((bundle / "manifest.json").read_text())["recipes"]:
        for variant in recipe["variants"]:
            if capability in (variant["targets"]["compute_capabilities"] or [capability]):
                return recipe, variant
    sys.exit(f"no engine for compute capability {capability}")

def run(bundle, variant, feeds):
    """The outputs by name; `feeds` maps inputs to arrays within the variant's min and max."""
    plan = (bundle / variant["engine"]["path"]).read_bytes()
    if hashlib.sha256(plan).hexdigest() != variant["engine"]["sha256"]:
        sys.exit(f"{variant['engine']['path']} was changed")  # before it is deserialized
    from pycuda import driver, gpuarray
    trt, buffers = __import__(variant["backend"]), {}  # tensorrt or tensorrt_rtx
    runtime = trt.Runtime(trt.Logger())
    engine = runtime.deserialize_cuda_engine(plan)
    context, stream = engine.create_execution_context(), driver.Stream()
    for name, dtype in ((item["name"], item["dtype"]) for item in variant["inputs"]):
        buffers[name] = gpuarray.to_gpu(np.ascontiguousarray(feeds[name], dtype))
        context.set_input_shape(name, buffers[name].shape)
    for name, dtype in ((item["name"], item["dtype"]) for item in variant["outputs"]):
        buffers[name] = gpuarray.empty(tuple(context.get_tensor_shape(name)), dtype)
    for name, buffer in buffers.items():
        context.set_tensor_address(name, int(buffer.gpudata))
    context.execute_async_v3(stream.handle)
    stream.synchronize()
    return {item["name"]: buffers[item["name"]].get() for item in variant["outputs"]}

if __name__ == "__main__":
    from pycuda import autoinit
    bundle = pathlib.Path(sys.argv[1])
    recipe, variant = choose(bundle, "{}{}".format(*autoinit.device.compute_capability()))
    case = json.loads((bundle / recipe["shared"]["golden"][0]).read_text())["cases"][0]
    golden = np.load(bundle / recipe["shared"]["golden"][1])
    for name, y in run(bundle, variant, {n: golden[k] for n, k in case["inputs"].items()}).items():
        print(name, "differs by at most", np.abs(y - golden[case["outputs"][name]]).max())
