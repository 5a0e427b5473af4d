"""Training: a recipe, stage by stage, on frozen features."""
