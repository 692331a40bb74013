"""Text that may not pass, or only after somebody was asked."""
