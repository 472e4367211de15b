"""Stubs generated from `proto/bank.proto` by `make proto`. Not for hands."""
