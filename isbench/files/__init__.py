"""Files: written in one step, downloaded, unpacked."""
