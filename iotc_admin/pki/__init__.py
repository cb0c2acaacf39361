"""Keys and certificates: no network, no clock of its own. Import from the modules."""
