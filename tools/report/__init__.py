"""Reports: text with slots, filled from the tracker, as Markdown and as one HTML file."""
