"""Parts of networks that two models or more share; torch is imported below here only."""
