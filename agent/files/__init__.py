"""Files of AegisAI's own: written durably, what their file system can do, why one failed."""
