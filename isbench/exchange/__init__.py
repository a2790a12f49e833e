"""Results exported and imported: runs in the formats of other tools, bundles, and results of other tools."""
