"""Steps that generated text passes through on its way to the client."""
