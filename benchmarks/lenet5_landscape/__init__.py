"""What LeNet5 on real images looks like as an objective, and what its schedule is worth."""
