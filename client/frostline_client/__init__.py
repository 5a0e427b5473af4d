"""The Frostline client library."""
