"""scReader and the controls that it has to beat."""
