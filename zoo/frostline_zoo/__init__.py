"""What Frostline keeps: networks layer by layer, datasets example by example, and the catalogue that names them."""
