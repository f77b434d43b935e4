"""How files become text."""
