"""`kith tail`: the log as it grows, at a terminal or as lines of JSON."""
