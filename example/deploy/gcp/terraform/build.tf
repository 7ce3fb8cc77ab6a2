resource "google_cloudbuild_trigger" "main" {
  name            = "${var.name}-${var.branch}"
  location        = var.region
  filename        = "example/deploy/gcp/cloudbuild.yaml"
  service_account = google_service_account.build.id

  github {
    owner = var.github_owner
    name  = var.github_repository
    push {
      branch = "^${var.branch}$"
    }
  }

  substitutions = {
    _REGION          = var.region
    _REPOSITORY      = google_artifact_registry_repository.images.repository_id
    _SERVICE         = var.name
    _DATABASE_HOST   = google_sql_database_instance.this.private_ip_address
    _DATABASE_NAME   = google_sql_database.this.name
    _DATABASE_USER   = var.name
    _CONNECTOR       = google_vpc_access_connector.this.id
    _MEDIA_BUCKET    = google_storage_bucket.media.name
    _STATIC_BUCKET   = google_storage_bucket.static.name
    _SERVICE_ACCOUNT = google_service_account.run.email
    _HOST            = local.host
    _HOSTS           = local.hosts
    _MAIL_FROM       = var.mail_from == "" ? "${var.name}@${local.host}" : var.mail_from
    _PROXIES         = tostring(var.proxies)
  }
}
