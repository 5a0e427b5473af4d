"""Caffe networks as data: the text that describes one, the weights beside it, and what Keras layers say each layer."""
