"""What may stand between this machine and the application: numbered checks, each with cause and fix."""
