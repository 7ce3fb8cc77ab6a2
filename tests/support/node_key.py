"""One key for the certificates of all nodes that a fork server starts.

It is made when this is imported, which the fork server does once.
"""

from cryptography.hazmat.primitives.asymmetric import rsa

KEY = rsa.generate_private_key(65537, 2048)
