"""`kith erase`: a person from everywhere, and the receipt."""
