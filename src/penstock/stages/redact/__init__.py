"""Redaction that is exact on a stream: what comes out does not depend on how the text was split."""
