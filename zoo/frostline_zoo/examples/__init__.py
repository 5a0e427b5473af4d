"""Examples: contents known by their digests, kept in shards, listed by datasets."""
