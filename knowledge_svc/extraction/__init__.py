"""Text out of files, read in a process of its own; only that process loads the libraries for it."""
