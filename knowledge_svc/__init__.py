"""What is known: knowledge items, the words and vectors that find them, and search."""
