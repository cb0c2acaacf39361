"""What client and service agree on: operations and wire models, as data. No I/O."""
