"""Blobs: bytes that never change, named by their digest."""
