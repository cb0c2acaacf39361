"""What operators do: look at the application, decide on a plan, carry it out."""
