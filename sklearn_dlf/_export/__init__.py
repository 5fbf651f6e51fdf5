"""Fitted students outside of this process: files that last, and ONNX."""
