"""What the gateway tells about itself: one log line a stream, and metrics."""
