"""What BOHB's cheap evaluations are worth: quality by epochs spent, beside methods without them."""
