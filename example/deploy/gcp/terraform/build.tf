resource "google_cloudbuild_trigger" "main" {
  # Not the branch's, which may have what a name may not, as a slash.
  name            = "${var.name}-main"
  location        = var.region
  filename        = "example/deploy/gcp/cloudbuild.yaml"
  service_account = google_service_account.build.id

  # A repository that is connected as one of the "1st gen".
  github {
    owner = var.github_owner
    name  = var.github_repository
    push {
      # A regular expression of RE2; what means something there means itself here.
      branch = "^${replace(var.branch, "/([^0-9A-Za-z_\\/-])/", "\\$1")}$"
    }
  }

  substitutions = {
    _REGION            = var.region
    _REPOSITORY        = google_artifact_registry_repository.images.repository_id
    _SERVICE           = var.name
    _DATABASE_HOST     = var.database_host == "" ? google_sql_database_instance.this.private_ip_address : var.database_host
    _CLOUDSQL_INSTANCE = var.database_by_socket ? google_sql_database_instance.this.connection_name : ""
    _DATABASE_NAME     = google_sql_database.this.name
    _DATABASE_USER     = var.name
    _CONNECTOR         = google_vpc_access_connector.this.id
    _MEDIA_BUCKET      = google_storage_bucket.media.name
    _STATIC_BUCKET     = google_storage_bucket.static.name
    _SERVICE_ACCOUNT   = google_service_account.run.email
    _DEPLOY_ACCOUNT    = google_service_account.deploy.email
    _HOST              = local.host
    _HOSTS             = local.hosts
    _MAIL_FROM         = var.mail_from == "" ? "${var.name}@${local.host}" : var.mail_from
    _PROXIES           = tostring(var.proxies)
  }
}
