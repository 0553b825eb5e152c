"""TensorRT: makes engines of bundles on the machine that runs them, and runs them; needs neither torch nor onnx.

`packages.py` alone imports tensorrt and pycuda, and passes them on as a `Machine`.
"""
