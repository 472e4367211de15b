"""Pictures of a bank on several Redis nodes: where accounts are, and what a failover costs."""
