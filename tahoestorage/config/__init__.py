"""What a storage can be told, and where it is read from.

===================  ===============================================================
``options.py``       TahoeStorage's options and the cache's, with their defaults
``keywords.py``      the keywords of each constructor; those of S3 and GCS
``validators.py``    what a value must be
``settings.py``      Django's settings, which nothing else reads
``storeurls.py``     a store as one URL
``variables.py``     a store in the variables of the environment
``storeoptions.py``  how each option is read from text
``secrets.py``       options whose text is a secret, or in a file
``storages.py``      an entry of ``STORAGES``, made of what those read
===================  ===============================================================
"""
