"""Files of other tools, read as data. What stands here runs in the jail: it imports neither Keras nor TensorFlow."""
