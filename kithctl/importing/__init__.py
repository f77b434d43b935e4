"""`kith import`: brings conversations that happened elsewhere into a running stack."""
