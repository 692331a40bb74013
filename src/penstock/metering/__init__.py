"""What a stream cost: tokens counted, reported and delivered; prices; the ledger row. Pure."""
