"""`kith knowledge`: look after the index of the knowledge service."""
