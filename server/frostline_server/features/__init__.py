"""Features: what frozen trunks put out, kept row by row, never trusted."""
