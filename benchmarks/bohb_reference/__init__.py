"""Is the method bohb really HpBandSter's BOHB? Both side by side, each on its own versions."""
