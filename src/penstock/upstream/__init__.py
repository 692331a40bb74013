"""The way to providers: a push HTTP/1.1 client. Bytes come by call, nothing is awaited for them."""
