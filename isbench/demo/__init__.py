"""A local page for interactive segmentation."""
