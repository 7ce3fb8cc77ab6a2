"""The configuration of nginx before a gateway, for visitors who may only read."""
