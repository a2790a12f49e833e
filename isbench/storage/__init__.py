"""What is recorded: run files, their lines, and the environment they were played in."""
