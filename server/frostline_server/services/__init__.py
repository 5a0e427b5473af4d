"""The services: each unpacks a request, asks, and packs the answer."""
