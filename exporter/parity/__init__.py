"""The verdict: which cells there are, what they were fed, how their outputs compare, and what it means."""
