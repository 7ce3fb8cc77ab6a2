# The secrets without their values: secrets.sh writes those, so that they are in no state.
locals {
  secrets = toset([
    "secret-key",
    "token-signing-key",
    "database-password",
    "email-url",
    "first-password",
  ])
}

resource "google_secret_manager_secret" "this" {
  for_each  = local.secrets
  secret_id = "${var.name}-${each.value}"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.used]
}
