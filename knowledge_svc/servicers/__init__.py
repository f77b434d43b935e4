"""The contract's methods, one noun a module: parse, ask, render."""
