"""Configurations of nginx before a gateway, for visitors who may only read.

``public`` makes a proxy for read caps in URLs, which lets the ``targets`` pass;
``internal`` the location for downloads that the site allows (X-Accel-Redirect).
"""
