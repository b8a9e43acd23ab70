"""A client of the gateway: submit a job, look at it, follow its stream to a proven end."""
