"""What must be TensorFlow's own: programs that compute and train. Everything else speaks Keras and NumPy."""
