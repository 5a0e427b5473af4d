"""Jobs: the durable table, and the processes that do the work."""
