"""Pictures and the HTML report. Each picture has a figure, a data table and alternative text."""
