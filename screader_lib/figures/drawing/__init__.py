"""What all figures share: canvas, colours, names and labels."""
