"""Makes TensorRT engines of bundles on the machine that runs them; needs neither torch nor onnx.

Nothing here imports tensorrt or pycuda: `backends/trt.py` opens both and hands them on as a `Machine`.
"""
