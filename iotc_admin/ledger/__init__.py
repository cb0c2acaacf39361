"""The certificates behind the thumbprints, and the journal of runs. Never a key."""
