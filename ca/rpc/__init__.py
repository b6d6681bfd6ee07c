"""gRPC: `dev.sigstore.fulcio.v2.CA` and `grpc.health.v1.Health`, beside HTTP in the same process and event loop.

Needs the extra `grpc`; only `ca.rpc.settings` and `ca.rpc.address` can be imported without it.
"""
