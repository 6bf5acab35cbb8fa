"""What all pictures share: canvas, colours, names and labels."""
