"""The jail: a process in which files that came from outside are read, and which can do nothing else."""
