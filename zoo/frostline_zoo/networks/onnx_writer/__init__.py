"""Networks as ONNX files: each layer as the operators that compute it in inference mode."""
