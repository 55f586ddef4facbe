"""The published results, and the command that repeats them."""
