"""Measure how LeNet5's accuracy on real images depends on hyperparameters and schedule."""
