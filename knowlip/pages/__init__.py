"""What pages for people share: templates, charts, the small local web server."""
