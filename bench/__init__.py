"""Measures Kith beside the floors of the same run: `make bench`."""
