"""The door: parse, one call, print."""
