"""Where orders go: the matching engine, the brokers built on it, the router, and what each broker can do."""
