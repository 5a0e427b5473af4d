"""Networks of transformers and timm: each kind is drawn by the names that its arrays have, from its configuration."""
