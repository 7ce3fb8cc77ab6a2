resource "google_sql_database_instance" "this" {
  name                = var.name
  region              = var.region
  database_version    = "POSTGRES_16"
  deletion_protection = var.is_protected

  settings {
    tier                        = var.database_tier
    edition                     = "ENTERPRISE"
    availability_type           = var.database_is_regional ? "REGIONAL" : "ZONAL"
    disk_autoresize             = true
    deletion_protection_enabled = var.is_protected

    ip_configuration {
      # Cloud Run's socket leads to the public address. No network is authorised there:
      # only who has the role of a client gets in.
      ipv4_enabled    = var.database_by_socket
      private_network = google_compute_network.this.id
      # The connector's network is private, and psycopg asks for TLS where it can be had.
      ssl_mode = "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "01:30"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = 30
      }
    }

    # 20 instances with 8 threads each, the worker, and those of a deployment beside them.
    database_flags {
      name  = "max_connections"
      value = "400"
    }

    maintenance_window {
      day  = 7
      hour = 3
    }
  }

  depends_on = [google_service_networking_connection.services]
}

resource "google_sql_database" "this" {
  name     = var.name
  instance = google_sql_database_instance.this.name
}

# The user is made by secrets.sh, which gives the password to the database and to Secret
# Manager: here it would be in the state.
