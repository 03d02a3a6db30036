"""What every SCTP stack has to do: written from the contract, with public names only."""
