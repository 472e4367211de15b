"""Pictures of a bank on several Redis nodes: where accounts live, and what a failover costs."""
