"""ONNX Runtime on the CPU: the backend, and the native library with its fast kernels."""
