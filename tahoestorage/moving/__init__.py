"""Moving the files of a site from one store to another.

=================================  ===================================================
``run``, ``copier``, ``content``   one run; one file; the content of one in transit
``store``                          what a run needs of a store, by Django's API
``disk``, ``grid``, ``objects``    the same for a folder, a grid, S3 and Google's
``names``                          which names a store can keep
``pool``, ``processes``            threads, and processes, that copy several at a time
``linkqueue``                      links of several threads, as one change
``throttle``                       bytes per second, and the stop, for all of them
``summary``                        what is shown in the end
``resolve``                        stores, by what the command line named
``space``                          what the files will take on a grid's servers
``warming``                        filling a cache from listings
=================================  ===================================================
"""
