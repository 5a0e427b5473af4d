"""What runs: the services, the jobs, training, and the features it trains on."""
