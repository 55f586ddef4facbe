"""What came out: the storage read back as results. Nothing here executes or writes a run."""
