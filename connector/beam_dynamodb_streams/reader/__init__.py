"""The poll loop: which request is next, and what an answer moves. No Beam, no pyarrow."""
