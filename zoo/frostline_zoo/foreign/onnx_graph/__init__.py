"""ONNX graphs as data: their nodes and tensors, and for each operator what Keras layers say it."""
