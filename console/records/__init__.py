"""What past runs tell of gates and calls: plain records, derived from event histories and nothing else."""
