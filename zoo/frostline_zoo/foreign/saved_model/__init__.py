"""TensorFlow's files read as data: graphs as messages, checkpoints as tables, operations as layers of Keras."""
