"""Measure the gain of BOHB's cheap evaluations: quality by epochs, against other methods."""
