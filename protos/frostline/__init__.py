"""The Frostline API."""
