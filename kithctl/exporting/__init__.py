"""`kith export`: everything that is held about a person, as one file."""
