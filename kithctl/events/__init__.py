"""`kith events`: what an operator does with the log."""
