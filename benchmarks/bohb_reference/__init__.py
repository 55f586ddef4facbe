"""Compare the method `bohb` with the original HpBandSter, each with its own versions."""
