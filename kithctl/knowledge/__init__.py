"""`kith knowledge`: looks after the index of what is known."""
