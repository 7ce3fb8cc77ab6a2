"""How gunicorn serves the example; started in this directory, it reads this itself."""

# A save holds its request until the grid has the file. With threads, and not one
# request a process, that keeps nobody else waiting, and is no reason to kill a worker.
worker_class = "gthread"
threads = 8
graceful_timeout = 5  # seconds
control_socket_disable = True
