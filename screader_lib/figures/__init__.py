"""Figures and the HTML report. Each figure has its drawing, a data table and alternative text."""
