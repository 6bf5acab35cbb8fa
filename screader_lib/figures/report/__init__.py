"""The HTML report, its tables and commands, and the metrics for MultiQC."""
