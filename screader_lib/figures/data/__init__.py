"""What figures are drawn from: predictions, cell vectors, projections, scatter panels."""
