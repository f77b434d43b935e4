"""`kith verify`, `kith repair`, `kith ground-truth`: the three stores against one another."""
