"""Results exported and imported: formats of other tools, bundles, results of other tools."""
