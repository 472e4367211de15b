"""What happens to calls in a running bank: noted from outside, read, drawn, and handed on."""
