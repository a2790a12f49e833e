"""The local page to segment images by hand."""
