"""The catalogue: the tables that give names to what the blobs hold."""
